import Addresses
import DNSFilter
import Foundation
import Glibc
import NetworkPolicy
import TestSupport
import Testing

@testable import Egress

/// The policy API's looking routes over their socket, beside packets in real namespaces.
@Suite(.serialized) struct InspectionTests {
    private static let base = "/sandboxes/" + GuardedNetwork.id

    private func run(
        _ json: String,
        _ body: (GuardedNetwork, EgressNode, (String, String, String) throws -> (Int, String))
            async throws -> Void
    ) async throws {
        try await GuardedNetwork.run("deny") { (guarded, node) async throws in
            try await node.replace(GuardedNetwork.id, with: Policy.decode(json: Array(json.utf8)))
            let token = try await node.token(of: GuardedNetwork.id)
            try await body(guarded, node) { method, path, body in
                let answer = try PolicySocket.call(
                    guarded.configuration.socketPath, method, Self.base + path, token: token, body: body)
                return (answer.status, answer.body)
            }
        }
    }

    @Test func `explain says what then happens, and by which rule`() async throws {
        let json =
            #"{"egress":[{"action":"allow","target":"one.example","ports":[7]},{"action":"deny","target":"*.example"}]}"#
        try await run(json) { (guarded, _, call) async throws in
            func explain(_ query: String) throws -> String {
                let answer = try call("GET", "/policy/explain?" + query, "")
                #expect(answer.0 == 200, "\(answer)")
                return answer.1
            }
            #expect(
                try explain("target=one.example").hasPrefix(
                    #"{"target":"one.example","verdict":"allow","reason":"rule","index":0,"#
                        + #""rule":{"action":"allow","ports":[7],"target":"one.example"},"#
                        + #""text":"allowed by rule allow one.example 7","enforced":true,"path":["#))
            #expect(try explain("target=two.example").contains(#""verdict":"deny","reason":"rule","index":1"#))
            #expect(
                try explain("target=other.org&port=443&protocol=tcp").hasPrefix(
                    #"{"target":"other.org","port":443,"protocol":"tcp","verdict":"deny","reason":"default","#
                        + #""text":"denied by default","enforced":true,"path":["#))
            #expect(try explain("target=198.51.100.1&port=7").contains(#""verdict":"deny","reason":"default""#))
            #expect(try guarded.stream("198.51.100.1") == .failed(ECONNREFUSED))
            _ = try guarded.resolve("one.example")
            let learned = try explain("target=198.51.100.1&port=7")
            #expect(learned.contains("resolved from one.example"))
            #expect(learned.contains(#""verdict":"allow""#) && learned.contains(#""learnedFrom":"one.example""#))
            #expect(try guarded.stream("198.51.100.1") == .echoed)
            #expect(try explain("target=198.51.100.1&port=8").contains(#""verdict":"deny""#))
            #expect(try explain("target=169.254.169.254").contains(#""verdict":"deny","reason":"guardrail""#))
            #expect(try explain("target=9.9.9.9&port=53").contains("DNS filter"))
        }
    }

    @Test func `explain follows the whole path, and hints at what is easily mistaken`() async throws {
        let json =
            #"{"egress":[{"action":"allow","target":"one.example","ports":[7]},{"action":"allow","target":"*.wild.example"},"#
            + #"{"action":"allow","target":"rebind.example"}]}"#
        try await run(json) { (guarded, node, call) async throws in
            func explain(_ query: String) throws -> String { try call("GET", "/policy/explain?" + query, "").1 }
            let before = try explain("target=one.example&port=7")
            #expect(
                before.contains(#"{"step":"name","verdict":"allow","text":"asking for the name is allowed by rule"#))
            #expect(before.contains("it opens no address now"))
            _ = try guarded.resolve("one.example")
            let after = try explain("target=one.example&port=7")
            #expect(after.contains(#"{"step":"addresses","verdict":"allow","text":"known now: 198.51.100.1 (open, "#))
            #expect(after.contains(#"{"step":"traffic","verdict":"allow""#) && after.contains(#""hints":[]"#))
            let otherPort = try explain("target=one.example&port=8")
            #expect(otherPort.contains(#"{"step":"traffic","verdict":"deny""#))
            #expect(otherPort.contains("198.51.100.1 (not open, ") && otherPort.contains("does not open this port"))
            #expect(try explain("target=wild.example").contains("does not include wild.example itself"))
            // What the answer filter took away.
            _ = try guarded.resolve("rebind.example")
            let rebound = try explain("target=rebind.example")
            #expect(
                rebound.contains(#"{"step":"answer","verdict":"deny","text":""#) && rebound.contains("were taken out"))
            #expect(
                rebound.contains("127.0.0.1 (private or reserved: only")
                    && rebound.contains("169.254.169.254 (metadata or link-local: no policy opens it)"))
            // Where the name has an address that is open, too, that decides nothing.
            try node.guardian(of: GuardedNetwork.id).record(
                DNSEvent(
                    name: try DomainName("one.example"), type: 28, outcome: .answered(addresses: 0, removed: 1),
                    removed: [try #require(IPAddress("fd00::1"))]))
            #expect(
                try explain("target=one.example&port=7").contains(
                    #"{"step":"answer","text":"1 of its addresses were taken out"#))
            // By way of others.
            let guardian = try node.guardian(of: GuardedNetwork.id)
            let name = try DomainName("one.example"), alias = try DomainName("x.wild.example")
            guardian.record(
                DNSEvent(name: name, type: 1, outcome: .answered(addresses: 1, removed: 0), aliases: [alias]))
            let aliased = try explain("target=one.example&port=7")
            #expect(aliased.contains(": one.example -> x.wild.example. Only the name that is asked for is judged"))
            #expect(
                aliased.contains(
                    "x.wild.example by itself is allowed by rule allow *.wild.example, which decides nothing"))
            #expect(try explain("target=198.51.100.1&port=7").contains("one.example (by way of x.wild.example)"))
            // By address.
            #expect(try explain("target=127.0.0.1&port=7").contains("it is the sandbox's own address"))
            #expect(try explain("target=one.example&port=53").contains(#"{"step":"traffic","verdict":"allow""#))
            #expect(try explain("target=198.51.100.2&port=7").contains("resolve the name first, or allow the address"))
        }
    }

    @Test func `a page has the events of the ring, and goes on where the last one ended`() async throws {
        try await run(#"{"egress":[{"action":"allow","target":"one.example"}]}"#) { (guarded, _, call) async throws in
            for name in ["one.example", "two.example", "wild.example"] { _ = try guarded.resolve(name) }
            func page(_ query: String) throws -> [String: Any] {
                let answer = try call("GET", "/events?" + query, "")
                #expect(answer.0 == 200, "\(answer)")
                let object = try JSONSerialization.jsonObject(with: Data(answer.1.utf8))
                return try #require(object as? [String: Any])
            }
            let first = try page("limit=2"), second = try page("after=\(try #require(first["next"] as? String))")
            let events = try [first, second].flatMap { try #require($0["events"] as? [[String: Any]]) }
            #expect((first["events"] as? [Any])?.count == 2 && first["enforced"] as? Bool == true)
            let named = events.compactMap { $0["name"] as? String }
            #expect(Set(named) == ["one.example", "two.example", "wild.example"])
            #expect(events.allSatisfy { $0["id"] is String } && second["lost"] as? Int == 0)
            #expect(try page("after=1-1")["lost"] is NSNull, "another guard's")
            for query in ["limit=0", "limit=257", "limit=x", "after=x", "last=1", "limit=1&limit=2"] {
                #expect(try call("GET", "/events?" + query, "").0 == 400, "\(query)")
            }
        }
    }

    @Test func `looking needs the token, the right method and a sound question`() async throws {
        try await run("{}") { (guarded, _, call) async throws in
            for path in ["/policy/explain?target=a.com", "/policy/suggestion", "/policy/effective", "/events"] {
                for token in ["", "wrong"] {
                    let answer = try PolicySocket.call(
                        guarded.configuration.socketPath, "GET", Self.base + path, token: token)
                    #expect(answer.status == 401)
                }
                #expect(try call("POST", path, "").0 == 405)
            }
            #expect(try call("GET", "/policy/explain", "").0 == 400)
            #expect(try call("GET", "/policy/explain?target=10.0.0.0/8", "").0 == 400)
        }
    }

    @Test func `bad ports and modes are 400 with the rule, and change nothing`() async throws {
        try await run(#"{"egress":[{"action":"allow","target":"one.example"}]}"#) { (_, _, call) async throws in
            let before = try call("GET", "/policy", "")
            let wrong = try call("PATCH", "/policy", #"[{"action":"allow","target":"b.com","ports":["9-1"]}]"#)
            #expect(wrong.0 == 400 && wrong.1.hasPrefix("rule 0: invalid port \"9-1\""))
            let mode = try call("PUT", "/policy", #"{"mode":"watch"}"#)
            #expect(mode.0 == 400 && mode.1.hasPrefix("unknown mode"))
            #expect(try call("GET", "/policy", "") == before)
            #expect(
                before.1 == #"{"status":"ok","mode":"enforcing","enforcementMode":"dns+nft","policy":"#
                    + #"{"defaultAction":"deny","egress":[{"action":"allow","target":"one.example"}]}}"#)
        }
    }

    @Test func `an observed sandbox reaches all but protected addresses, and its names become a policy`() async throws {
        let json =
            #"{"mode":"observe","egress":[{"action":"allow","target":"one.example"},{"action":"deny","target":"198.51.100.3"},{"action":"deny","target":"wild.example"}]}"#
        try await run(json) { (guarded, node, call) async throws in
            let status = try call("GET", "/policy", "").1
            #expect(status.contains(#""mode":"observing","#) && status.contains("nothing of its policy is enforced"))
            #expect(try call("GET", "/events?limit=1", "").1.hasSuffix(#","enforced":false}"#))
            for name in ["one.example", "two.example", "wild.example"] { #expect(try !guarded.resolve(name).isEmpty) }
            for address in ["198.51.100.1", "198.51.100.2", "198.51.100.3", "2001:db8::1"] {
                #expect(try guarded.stream(address) == .echoed, "\(address)")
            }
            #expect(try guarded.stream("169.254.169.254") == .failed(ECONNREFUSED))
            let explained = try call("GET", "/policy/explain?target=two.example", "").1
            #expect(explained.contains(#""verdict":"deny""#) && explained.contains(#""enforced":false"#))
            #expect(explained.contains(#""hints":["the sandbox is observed: nothing of its policy is enforced""#))
            // What of it a client of the contract shows says so, too, and may be sent back.
            #expect(status.contains(#"},{"action":"allow","target":"mode:observe"}]"#))
            let shown = #"{"egress":[{"action":"allow","target":"mode:observe"}]}"#
            #expect(try call("PATCH", "/policy", #"[{"action":"allow","target":"mode:observe"}]"#).0 == 400)
            let nothing = try call("DELETE", "/policy", #"["no.example"]"#).1
            #expect(nothing.contains("no matching targets found; the sandbox is observed"))
            let reader = try PolicySocket(guarded.configuration.socketPath)
            reader.send("GET", Self.base + "/events", token: try await node.token(of: GuardedNetwork.id))
            #expect(reader.waits(for: "event: observing\ndata: {") && reader.received.contains(#""enforced":false"#))
            // Connections that have ended, and that conntrack knows no more.
            let guardian = try node.guardian(of: GuardedNetwork.id)
            let isSeen = try await eventually {
                guardian.observeFlows()
                return guardian.watch.observed.flows.count >= 4
            }
            #expect(isSeen)
            _ = try guardian.kernel.cut { _, _ in true }
            let suggested = try call("GET", "/policy/suggestion", "").1
            #expect(
                suggested == #"{"defaultAction":"deny","egress":[{"action":"allow","target":"one.example"},"#
                    + #"{"action":"deny","target":"198.51.100.3"},{"action":"deny","target":"wild.example"},"#
                    + #"{"action":"allow","target":"two.example:7/tcp"},"#
                    + #"{"action":"allow","target":"[2001:db8::1]:7/tcp"}],"#
                    + #""existing":["one.example","198.51.100.3","wild.example"],"unused":[],"enforced":false}"#)
            #expect(try call("PUT", "/policy", shown).1.contains(#""mode":"observing""#))

            #expect(try call("PUT", "/policy", suggested).0 == 200)
            #expect(!(try call("GET", "/policy", "").1.contains("observe")))
            #expect(try guarded.stream("198.51.100.2") == .echoed, "learned while observed, and allowed now")
            #expect(try guarded.stream("198.51.100.3") == .failed(ECONNREFUSED))
            #expect(try guarded.resolve("wild.example").isEmpty)
        }
    }

    @Test func `a patch leaves an observed sandbox observed, over a restart, too`() async throws {
        try await run(#"{"mode":"observe"}"#) { (guarded, node, call) async throws in
            #expect(try call("PATCH", "/policy", #"[{"action":"deny","target":"one.example"}]"#).0 == 200)
            await node.shutdown()
            let second = try await guarded.node()
            #expect(try await second.status(GuardedNetwork.id).policy.mode == .observe)
            #expect(try guarded.resolve("one.example") == ["198.51.100.1"])
            #expect(try guarded.stream("198.51.100.1") == .echoed)
            await second.shutdown()
        }
    }

    @Test func `events tell decisions as they are made, and go on where a reader was`() async throws {
        try await run(#"{"egress":[{"action":"allow","target":"one.example"}]}"#) { (guarded, node, _) async throws in
            let token = try await node.token(of: GuardedNetwork.id)
            let reader = try PolicySocket(guarded.configuration.socketPath)
            reader.send("GET", Self.base + "/events", token: token)
            #expect(reader.waits(for: "text/event-stream"))
            _ = try guarded.resolve("one.example")
            _ = try guarded.resolve("one.example")
            _ = try guarded.resolve("two.example")
            #expect(reader.waits(for: "event: nameAllowed\ndata: "))
            #expect(reader.waits(for: "event: nameDenied\ndata: "))
            #expect(reader.waits(for: #""name":"two.example","type":"A","verdict":"deny","reason":"default""#))
            #expect(reader.received.components(of: "nameAllowed\n") == 1, "the first time only")
            #expect(!reader.received.contains(token))

            let connection = try Probe.open(
                Int32(SOCK_STREAM.rawValue), to: "198.51.100.1", port: EchoServer.port, from: guarded.network.sandbox)
            defer { close(connection.0) }
            try await node.replace(GuardedNetwork.id, with: .denyAll)
            #expect(reader.waits(for: "event: policyChanged") && reader.waits(for: "event: flowsCut"))

            let lines = reader.received.utf8.split(separator: UInt8(ascii: "\n")).map {
                String(decoding: $0, as: UTF8.self)
            }
            .filter { $0.hasPrefix("id: ") }
            let second = try PolicySocket(guarded.configuration.socketPath)
            let position = try #require(lines.dropLast().last).dropFirst(4)
            second.send("GET", Self.base + "/events", token: token, headers: ["Last-Event-ID: \(position)"])
            #expect(second.waits(for: "event: flowsCut"))
            #expect(!second.received.contains("event: lost") && !second.received.contains("event: nameAllowed"))
            let third = try PolicySocket(guarded.configuration.socketPath)
            third.send("GET", Self.base + "/events", token: token, headers: ["Last-Event-ID: 1-1"])
            #expect(third.waits(for: "event: lost\ndata: {\"count\":null}"))
        }
    }

    @Test func `a reader that does not read loses the oldest and is told, and nobody waits for it`() async throws {
        try await run("{}") { (guarded, node, _) async throws in
            let token = try await node.token(of: GuardedNetwork.id)
            let reader = try PolicySocket(guarded.configuration.socketPath)
            reader.send("GET", Self.base + "/events", token: token)
            #expect(reader.waits(for: ": connected"))
            let log = try await node.events(GuardedNetwork.id)
            let policy = Policy(defaultAction: .deny)
            // Far more than sockets and the ring hold together.
            for _ in 0..<30_000 { log.append(.policyChanged(policy)) }
            log.append(.flowsCut(4711))
            #expect(reader.waits(for: #""count":4711"#))
            #expect(reader.received.contains("event: lost"))
        }
    }
}

extension String {
    fileprivate func components(of text: String) -> Int {
        var count = 0
        var rest = self[...]
        while let range = rest.firstRange(of: text) {
            count += 1
            rest = rest[range.upperBound...]
        }
        return count
    }
}
