import Addresses
import System

/// Lets the packets of sandboxes' links pass the engine's own firewall, which drops what it did not send: by rules in the chain
/// that engines leave to others (`DOCKER-USER`). They are written with the engine's own tool, since there are two kinds of such
/// tables, and only one of them is seen from here. What sandboxes may do is decided by this server's own table before.
struct EnginePassage: Hashable, Sendable {
    /// A prefix of the host ends of links, which another server's may begin with, too.
    let links: String
    /// Those of the links, which no other server has.
    let addresses: CIDRBlock
    let addressesV6: CIDRBlock
    /// The tools' home.
    let folder: String
    /// Whether ports of the machine forward to sandboxes.
    var publishes = false

    private static let chain = "DOCKER-USER"

    /// As arguments behind a chain.
    func rules(isIPv4: Bool) -> [[String]] {
        let block = "\(isIPv4 ? addresses : addressesV6)"
        let states = ["RELATED,ESTABLISHED"] + (publishes ? ["DNAT"] : [])
        return [["-s", block, "-i", links + "+", "-j", "ACCEPT"]]
            + states.map { ["-d", block, "-o", links + "+", "-m", "conntrack", "--ctstate", $0, "-j", "ACCEPT"] }
    }

    /// A rule that is missing, and where it belongs.
    struct Addition: Hashable, Sendable {
        let rule: [String]
        /// Counted from one; nil for the end.
        let place: Int?
    }

    /// What is missing, the last first: behind an operator's rules and in front of the return that engines end the chain with.
    /// - Parameter listing: of the chain, as `iptables -S` prints it.
    func missing(in listing: String, isIPv4: Bool) -> [Addition] {
        let start = "-A \(Self.chain) "
        let lines = listing.split(separator: "\n").filter { $0.hasPrefix(start) }.map { $0.dropFirst(start.count) }
        let end = lines.firstIndex { $0 == "-j RETURN" }
        return rules(isIPv4: isIPv4).filter { rule in !lines.contains { $0 == rule.joined(separator: " ") } }
            .reversed().map { Addition(rule: $0, place: end.map { $0 + 1 }) }
    }

    /// Adds what is missing. It blocks.
    /// - Returns: how many rules were added; 0 also where the engine has no such chain.
    func open() -> Int {
        var count = 0
        for (name, isIPv4) in [("iptables", true), ("ip6tables", false)] {
            guard let tool = try? Tool.find(name, package: "iptables"),
                let listing = run(tool, ["-S", Self.chain])
            else { continue }
            for one in missing(in: listing, isIPv4: isIPv4) {
                // The tool may write a rule in other words than ours.
                guard run(tool, ["-C", Self.chain] + one.rule) == nil else { continue }
                let words = one.place.map { ["-I", Self.chain, "\($0)"] } ?? ["-A", Self.chain]
                if run(tool, words + one.rule) != nil { count += 1 }
            }
        }
        return count
    }

    /// More of one rule than servers ever add.
    private static let maxCopies = 100

    /// Removes the rules again, however often they are there. It blocks.
    /// - Returns: how many were removed; 0 also where the engine has no such chain.
    func close() -> Int {
        var count = 0
        for (name, isIPv4) in [("iptables", true), ("ip6tables", false)] {
            guard let tool = try? Tool.find(name, package: "iptables") else { continue }
            for rule in rules(isIPv4: isIPv4) {
                for _ in 0..<Self.maxCopies {
                    guard run(tool, ["-D", Self.chain] + rule) != nil else { break }
                    count += 1
                }
            }
        }
        return count
    }

    /// - Returns: what it printed; nil if it failed.
    private func run(_ tool: Tool, _ words: [String]) -> String? {
        // Another program may hold the tables.
        let end = try? tool.run(["-w", "5"] + words, home: folder, milliseconds: 10_000)
        return end?.code == 0 ? end?.output : nil
    }
}
