import Addresses
import NetworkPolicy
import Testing

@testable import Egress

@Suite struct SuggestionTests {
    private func suggest(_ names: [String]) throws -> [String] {
        PolicySuggestion(names: Set(try names.map { try DomainName($0) })).policy.rules.map(\.description)
    }

    @Test func `names stand together by zone`() throws {
        #expect(
            try suggest(["pypi.org", "b.example.com", "example.com", "a.org"]) == [
                "allow example.com", "allow b.example.com", "allow a.org", "allow pypi.org",
            ])
        #expect(try suggest([]).isEmpty)
    }

    @Test func `many siblings become a wildcard, which stands for all below and not for the zone`() throws {
        let many = (1...8).map { "h\($0).cdn.example.com" }
        #expect(
            try suggest(many + ["x.y.cdn.example.com", "cdn.example.com", "example.com"]) == [
                "allow example.com", "allow cdn.example.com", "allow *.cdn.example.com",
            ])
        #expect(try suggest(Array(many.dropLast())).count == 7)
    }

    @Test func `what anybody can have a name below never becomes a wildcard`() throws {
        for zone in ["com", "co.uk", "com.au"] {
            #expect(try suggest((1...20).map { "h\($0).\(zone)" }).count == 20)
        }
        #expect(try suggest((1...20).map { "h\($0).example.uk" }) == ["allow *.example.uk"])
    }

    @Test func `the suggested policy allows every name that it was made from`() throws {
        for _ in 0..<200 {
            let names = Set(
                try (0..<Int.random(in: 0...60)).map { _ in
                    try DomainName("\(["a", "b", "c.d"].randomElement()!)\(Int.random(in: 0...12)).x.example.org")
                })
            let evaluator = PolicyEvaluator(PolicySuggestion(names: names).policy)
            for name in names { #expect(evaluator.evaluate(name).isAllowed) }
        }
    }

    @Test func `names that are kept are bounded`() throws {
        var observed = ObservedNames()
        for number in 0..<5000 { observed.insert(try DomainName("n\(number).example")) }
        #expect(observed.names.count == ObservedNames.capacity && observed.isIncomplete)
    }

    @Test func `a question is one name or address, with a port and a protocol or without`() throws {
        let question = try PolicyQuestion(
            query: [("target", "Pypi.org."), ("port", "443"), ("protocol", "tcp")])
        #expect(question.target == .name(try DomainName("pypi.org")))
        #expect(question.scope.ports == [443...443] && question.scope.transport == .tcp)
        #expect(try PolicyQuestion(query: [("target", "2001:DB8::1")]).target == .address(IPAddress("2001:db8::1")!))
    }

    @Test(arguments: [
        [], ["port", "1"], ["target", ""], ["target", "*.a.com"], ["target", "10.0.0.0/8"], ["target", "a b"],
        ["target", "a.com", "port", "0"], ["target", "a.com", "port", "x"], ["target", "a.com", "protocol", "sctp"],
        ["target", "a.com", "protocol", "icmp", "port", "1"], ["target", "a.com", "x", "1"],
        ["target", "a.com", "target", "b.com"],
    ])
    func `anything else is refused`(words: [String]) {
        let query = stride(from: 0, to: words.count, by: 2).map { (name: words[$0], value: words[$0 + 1]) }
        #expect(throws: EgressError.self) { try PolicyQuestion(query: query) }
    }
}
