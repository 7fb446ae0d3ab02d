import Addresses
import Glibc
import Netfilter
import NetworkPolicy
import TestSupport
import Testing

@Suite(.serialized) struct SidecarTests {
    private static let denyAllButOne = #"{"egress":[{"action":"allow","target":"one.example"}]}"#

    @Test func `names and addresses are let through by the policy, and by what a patch adds`() async throws {
        let sidecar = try RunningSidecar()
        try await sidecar.serve(["RULES": Self.denyAllButOne])
        #expect(try sidecar.stream("198.51.100.1") == .failed(ECONNREFUSED))
        #expect(try sidecar.resolve("one.example") == ["198.51.100.1"])
        #expect(try sidecar.resolve("one.example", type: DNSMessages.aaaa) == ["2001:db8::1"])
        #expect(try sidecar.stream("198.51.100.1") == .echoed)
        #expect(try sidecar.stream("2001:db8::1") == .echoed)
        #expect(try sidecar.resolve("two.example").isEmpty)
        #expect(try sidecar.stream("198.51.100.2") == .failed(ECONNREFUSED))
        let asked = try DNSMessages.resolve(
            "one.example", server: RunningSidecar.upstreamAddress, from: sidecar.network.sandbox)
        #expect(asked.addresses.count == 1, "asking the filter's own upstream is asking the filter")

        let patch = try sidecar.call("PATCH", "/policy", #"[{"action":"allow","target":"198.51.100.2"}]"#)
        #expect(patch.status == 200 && patch.text.contains(#""enforcementMode":"dns+nft""#))
        #expect(try sidecar.stream("198.51.100.2") == .echoed)
        #expect(try sidecar.call("DELETE", "/policy", #"["198.51.100.2"]"#).status == 200)
        #expect(try sidecar.stream("198.51.100.2") == .failed(ECONNREFUSED))
        #expect(try sidecar.resolve("one.example") == ["198.51.100.1"], "its own queries outlive a change")
        #expect(try sidecar.call("PUT", "/policy", "").status == 200)
        #expect(try sidecar.stream("198.51.100.1") == .failed(ECONNREFUSED))
    }

    @Test func `an observed sandbox passes all but the operator's lists, until its policy is enforced again`()
        async throws
    {
        let sidecar = try RunningSidecar()
        try sidecar.write("two.example\n198.51.100.2\n", to: "rules/deny.always")
        let file = sidecar.folder + "/policy.json"
        try await sidecar.serve(["RULES": Self.denyAllButOne, "POLICY_FILE": file])
        #expect(try sidecar.resolve("sub.wild.example").isEmpty)
        #expect(try sidecar.stream("198.51.100.1") == .failed(ECONNREFUSED))
        let observing = try sidecar.call("PUT", "/policy", #"{"mode":"observe"}"#)
        #expect(observing.status == 200 && observing.text.contains(#""mode":"observing""#))
        #expect(try Policy.decode(json: RunningSidecar.contents(file)).mode == .observe)
        #expect(try sidecar.resolve("sub.wild.example") == ["198.51.100.1"])
        #expect(try sidecar.stream("198.51.100.1") == .echoed)
        #expect(try sidecar.resolve("two.example").isEmpty && sidecar.stream("198.51.100.2") == .failed(ECONNREFUSED))
        let denied = try sidecar.call("GET", "/policy/explain?target=two.example").text
        #expect(denied.contains(#""reason":"guardrail""#) && denied.contains(#""enforced":true"#))
        let seen = try sidecar.call("GET", "/policy/explain?target=one.example").text
        #expect(seen.contains(#""verdict":"deny""#) && seen.contains(#""enforced":false"#))
        #expect(try sidecar.call("GET", "/policy/suggestion").text.contains(#""target":"sub.wild.example:"#))
        for path in ["/policy/explain?target=one.example", "/policy/suggestion", "/policy/effective", "/events"] {
            #expect(try sidecar.call("GET", path, token: "wrong").status == 401)
        }

        try sidecar.write("one.example\n", to: "rules/deny.always")
        #expect(try await eventually { try sidecar.resolve("two.example") == ["198.51.100.2"] })
        #expect(try sidecar.resolve("one.example").isEmpty && sidecar.stream("198.51.100.2") == .echoed)

        #expect(
            try sidecar.call("PUT", "/policy", #"{"egress":[{"action":"allow","target":"x.example"}]}"#).status == 200)
        #expect(try Policy.decode(json: RunningSidecar.contents(file)).mode == .enforce)
        for address in ["198.51.100.1", "198.51.100.2"] {
            #expect(try sidecar.stream(address) == .failed(ECONNREFUSED))
        }
        #expect(try sidecar.resolve("sub.wild.example").isEmpty)
        let rule = try sidecar.call("GET", "/policy/explain?target=x.example").text
        #expect(rule.contains(#""reason":"rule","index":0"#), "clients count their own rules: \(rule)")
    }

    @Test func `events are told while they happen, and a stream of them delays no end`() async throws {
        let sidecar = try RunningSidecar()
        try await sidecar.serve(["RULES": Self.denyAllButOne, "SANDBOX_ID": "sb-7"])
        let (stream, error) = try Probe.open(
            Int32(SOCK_STREAM.rawValue), to: TestNetwork.sandboxAddress, port: RunningSidecar.apiPort,
            from: sidecar.network.outside)
        defer { close(stream) }
        #expect(error == 0)
        let request = Array(
            "GET /events HTTP/1.1\r\nHost: x\r\nOPENSANDBOX-EGRESS-AUTH: \(RunningSidecar.token)\r\n\r\n".utf8)
        #expect(send(stream, request, request.count, Int32(MSG_NOSIGNAL)) == request.count)
        var received: [UInt8] = []
        func hears(_ text: String) async throws -> Bool {
            try await eventually {
                var chunk = [UInt8](repeating: 0, count: 1 << 14)
                let count = recv(stream, &chunk, chunk.count, Int32(MSG_DONTWAIT))
                if count > 0 { received += chunk[..<count] }
                return String(decoding: received, as: UTF8.self).contains(text)
            }
        }
        #expect(try await hears("text/event-stream"))
        #expect(try sidecar.resolve("two.example").isEmpty)
        #expect(try await hears("event: nameDenied\ndata: "))
        #expect(try await hears(#""name":"two.example","type":"A","verdict":"deny","reason":"default""#))
        #expect(try sidecar.call("PUT", "/policy", "").status == 200)
        #expect(try await hears("event: policyChanged"))
        #expect(!String(decoding: received, as: UTF8.self).contains(RunningSidecar.token))
        #expect(sidecar.end(SIGTERM) == 0)
    }

    @Test func `errors are plain text, and a wrong token is refused`() async throws {
        let sidecar = try RunningSidecar()
        try await sidecar.serve(["MAX_RULES": "1"])
        #expect(try sidecar.call("GET", "/policy", token: nil).status == 401)
        #expect(try sidecar.call("GET", "/policy", token: "token-of-the-tesT").status == 401)
        let wrong = try sidecar.call("PUT", "/policy", #"{"defaultAction":"maybe"}"#)
        #expect(wrong.status == 400 && wrong.text.contains("text/plain"))
        let two = #"[{"action":"allow","target":"a.x"},{"action":"allow","target":"b.x"}]"#
        #expect(try sidecar.call("PATCH", "/policy", two).status == 400)
        #expect(try sidecar.call("GET", "/sandboxes/sandbox/policy").status == 404)
        #expect(try sidecar.call("GET", "/../policy").status == 404)
        #expect(try sidecar.call("GET", "/policy").text.contains(#""mode":"deny_all""#))
    }

    @Test func `without a token everybody but the sandbox may ask`() async throws {
        let sidecar = try RunningSidecar()
        try await sidecar.serve(["TOKEN": ""])
        #expect(try sidecar.call("GET", "/policy", token: nil).status == 200)
        #expect(try sidecar.call("GET", "/policy", token: "any").status == 200)
        #expect(try sidecar.call("GET", "/policy", token: nil, from: sidecar.network.sandbox).status == 0)
    }

    @Test func `E18 the sandbox cannot reach the policy API, by whatever address`() async throws {
        let sidecar = try RunningSidecar()
        try await sidecar.serve()
        let own = ["127.0.0.1", "127.9.9.9", TestNetwork.sandboxAddress, "::1", "fd00:99::2"]
        for address in own {
            let answer = try sidecar.call("GET", "/policy", to: address, from: sidecar.network.sandbox)
            #expect(answer.status == 0, "\(address)")
        }
        #expect(try sidecar.call("GET", "/policy", to: "fd00:99::2").status == 200, "from outside it is there")
    }

    @Test func `what takes the policy API's port while no sidecar runs answers nobody`() async throws {
        let sidecar = try RunningSidecar()
        try await sidecar.serve()
        sidecar.kill()
        let other: UInt16 = 18081
        let impostors = try [RunningSidecar.apiPort, other].map { port in
            try sidecar.network.sandbox.run {
                let listener = socket(AF_INET6, Int32(SOCK_STREAM.rawValue), 0)
                var one: CInt = 1
                // Connections of the sidecar's that have ended.
                setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, socklen_t(MemoryLayout<CInt>.size))
                guard SocketAddressBytes("::", port).with({ bind(listener, $0, $1) }) == 0, listen(listener, 8) == 0
                else { throw RunningSidecar.Failure(what: "port \(port) is taken") }
                return listener
            }
        }
        defer { for impostor in impostors { close(impostor) } }
        let asked = try sidecar.network.outside.run {
            let asking = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
            _ = SocketAddressBytes(TestNetwork.sandboxAddress, RunningSidecar.apiPort).with { connect(asking, $0, $1) }
            return asking
        }
        defer { close(asked) }
        let (reached, error) = try Probe.open(
            Int32(SOCK_STREAM.rawValue), to: TestNetwork.sandboxAddress, port: other, from: sidecar.network.outside)
        close(reached)
        #expect(error == 0, "what is asked later, on another port, has been answered by now")
        var waiting = pollfd(fd: asked, events: Int16(POLLOUT), revents: 0)
        #expect(poll(&waiting, 1, 0) == 0)
    }

    @Test func `in the mode of names alone, addresses are open and names are not`() async throws {
        let sidecar = try RunningSidecar()
        try await sidecar.serve(["MODE": "dns", "RULES": Self.denyAllButOne])
        #expect(try sidecar.resolve("two.example").isEmpty)
        #expect(try sidecar.resolve("one.example") == ["198.51.100.1"])
        #expect(try sidecar.stream("198.51.100.2") == .echoed)
        #expect(try sidecar.call("GET", "/policy").text.contains(#""enforcementMode":"dns","#))
    }

    @Test func `an exempt name server is asked without the filter, and nothing else of it is open`() async throws {
        let sidecar = try RunningSidecar()
        try await sidecar.serve(["NAMESERVER_EXEMPT": RunningSidecar.upstreamAddress, "RULES": "{}"])
        let direct = try DNSMessages.resolve(
            "two.example", server: RunningSidecar.upstreamAddress, from: sidecar.network.sandbox)
        #expect(direct.addresses.map(\.description) == ["198.51.100.2"])
        #expect(try sidecar.resolve("two.example").isEmpty, "another server's address leads to the filter")
        #expect(try sidecar.stream("198.51.100.2") == .failed(ECONNREFUSED), "nothing was learned")
        #expect(try sidecar.stream(RunningSidecar.upstreamAddress) == .failed(ECONNREFUSED))
    }

    @Test func `always-rules outrank the policy and are read anew`() async throws {
        let sidecar = try RunningSidecar()
        try sidecar.write("one.example\n", to: "rules/deny.always")
        try sidecar.write("one.example\ntwo.example\n", to: "rules/allow.always")
        try await sidecar.serve(["RULES": Self.denyAllButOne, "LOG_LEVEL": "error"])
        #expect(try sidecar.resolve("one.example").isEmpty)
        #expect(try sidecar.resolve("two.example") == ["198.51.100.2"])
        let policy = try sidecar.call("GET", "/policy").text
        #expect(policy.contains("one.example") && !policy.contains("two.example"), "the clients' part is theirs")
        #expect(try sidecar.call("PATCH", "/policy", #"[{"action":"allow","target":"one.example"}]"#).status == 200)
        #expect(try sidecar.resolve("one.example").isEmpty)

        try sidecar.write("two.example\n", to: "rules/deny.always")
        #expect(try await eventually { try sidecar.resolve("one.example") == ["198.51.100.1"] })
        #expect(try sidecar.stream("198.51.100.2") == .failed(ECONNREFUSED), "what was learned is revoked")
        try sidecar.write("not a name\n", to: "rules/deny.always")
        try sidecar.write("*.wild.example\n", to: "rules/allow.always")
        #expect(try await eventually { sidecar.log.contains("deny.always, line 1") })
        #expect(try sidecar.resolve("two.example").isEmpty, "a file that cannot be read changes nothing")
        try sidecar.write("", to: "rules/deny.always")
        #expect(try await eventually { try sidecar.resolve("sub.wild.example") == ["198.51.100.1"] })
    }
}
