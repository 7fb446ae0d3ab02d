import Addresses
import Testing

@testable import Runtimes

@Suite struct EnginePassageTests {
    private let passage = EnginePassage(
        links: "spvsp", addresses: CIDRBlock("10.200.0.0/16")!, addressesV6: CIDRBlock("fd5a::/64")!, folder: "/")
    private let chain = "-N DOCKER-USER\n"
    private let operators = "-A DOCKER-USER -s 192.0.2.0/24 -j DROP\n"
    private let end = "-A DOCKER-USER -j RETURN\n"

    private func places(_ listing: String) -> [Int?] { passage.missing(in: listing, isIPv4: true).map(\.place) }

    @Test func `an operator's rules come first, and the engine's return last`() {
        #expect(places(chain) == [nil, nil])
        #expect(places(chain + operators) == [nil, nil])
        #expect(places(chain + end) == [1, 1])
        #expect(places(chain + operators + end) == [2, 2])
    }

    @Test func `in whatever order they are added, the rules stand as they are written`() {
        var lines = [Substring("-s 192.0.2.0/24 -j DROP"), "-j RETURN"]
        for one in passage.missing(in: chain + operators + end, isIPv4: true) {
            lines.insert(Substring(one.rule.joined(separator: " ")), at: one.place! - 1)
        }
        #expect(lines[1...2].map(String.init) == passage.rules(isIPv4: true).map { $0.joined(separator: " ") })
    }

    @Test func `what is there is not added again`() {
        let rules = passage.rules(isIPv4: true).map { "-A DOCKER-USER \($0.joined(separator: " "))\n" }
        #expect(places(chain + rules.joined() + end).isEmpty)
        #expect(
            passage.missing(in: chain + rules[0] + end, isIPv4: true).map(\.rule) == [passage.rules(isIPv4: true)[1]])
    }

    @Test func `a server whose links begin with the same letters has other addresses`() {
        for (isIPv4, block) in [(true, "10.200.0.0/16"), (false, "fd5a::/64")] {
            for rule in passage.rules(isIPv4: isIPv4) { #expect(rule.contains(block)) }
        }
    }
}
