import Foundation
import JSON
import Supervision
import Testing

@testable import ControlPlane

/// What the processes of a server tell each other.
@Suite struct PartTests {
    @Test(arguments: [
        LinkRequest.dial(number: .max, port: 65535, incarnation: "i-1"), .dial(number: 0, port: 0, incarnation: "ä"),
        .accessed(sandbox: "s"), .applied(stream: "00ff", sequence: 1 << 40),
    ])
    func `A request of the gateway is read as it was written, and no shorter one is`(request: LinkRequest) {
        let bytes = request.bytes
        #expect(LinkRequest(bytes) == request)
        for count in 0..<bytes.count {
            guard let read = LinkRequest(Array(bytes[..<count])) else { continue }
            // Only the text at its end has become shorter.
            #expect(read.bytes == Array(bytes[..<count]))
        }
    }

    @Test func `What the gateway sends may be anything, and traps nothing`() {
        var random = SystemRandomNumberGenerator()
        for length in 0..<400 {
            let bytes = (0..<length).map {
                $0 == 0 ? UInt8.random(in: 0...4) : UInt8.random(in: 0...255, using: &random)
            }
            _ = LinkReply(bytes)
            guard let request = LinkRequest(bytes) else { continue }
            #expect(request.bytes == bytes)
        }
        #expect(LinkRequest([2]) == nil && LinkRequest([2, 0xff]) == nil && LinkRequest([9, 1]) == nil)
        #expect(LinkRequest([2] + [UInt8](repeating: 0x61, count: LinkRequest.maxText + 1)) == nil)
    }

    @Test(arguments: [LinkReply(number: 7, code: 0), .init(number: .max, code: 111), .init(number: 1, code: -1)])
    func `An answer is read as it was written`(reply: LinkReply) {
        #expect(LinkReply(reply.bytes) == reply)
        #expect(LinkReply(reply.bytes.dropLast()) == nil && LinkReply(reply.bytes + [0]) == nil)
    }

    @Test func `A file's message is read as it was written`() {
        for message in [FileMessage.all, .file(path: "/a/b", code: 0), .file(path: "x", code: 13)] {
            #expect(FileMessage(message.bytes) == message)
        }
        #expect(FileMessage([]) == nil && FileMessage([1, 0]) == nil && FileMessage([0, 0]) == nil)
    }

    static let whole = """
        {"server": {"api_key": "secret-1", "port": 1},
         "ingress": {"port": 2, "secure_access": {"active_key": "a", "keys": [{"key_id": "a", "key": "secret-2"}], "v1": "accept"}},
         "renew_intent": {"enabled": true, "redis": {"dsn": "redis://:secret-3@127.0.0.1"}},
         "egress": {"mode": "dns+nft"}, "local": {"tag": "x"}, "log": {"level": "INFO"}}
        """

    @Test func `No part but the server is told a secret that is none of its business`() throws {
        let tree = try JSONValue(Array(Self.whole.utf8))
        func text(_ part: Part) -> String { String(decoding: tree.told(to: part).encoded, as: UTF8.self) }
        for part in [Part.egress, .gateway] {
            #expect(!text(part).contains("secret-"), "\(part)")
            #expect(throws: Never.self) {
                var settings = Settings(); try settings.apply(tree.told(to: part), path: "x")
            }
        }
        #expect(tree.told(to: .server) == tree)
        #expect(text(.gateway).contains(#""v1":"accept""#) && text(.gateway).contains(#""enabled":true"#))
        #expect(text(.egress).contains("dns+nft") && !text(.egress).contains("ingress"))
    }

    @Test func `The gateway reaches no file that is kept, and the guard writes to what is its own`() {
        var settings = Settings()
        settings.egress.auditLog = "/var/log/audit/decisions.json"
        let gateway = Part.gateway.reach(settings, folder: 7), guardian = Part.egress.reach(settings, folder: nil)
        #expect(gateway?.writable == [] && gateway?.folder == 7 && gateway?.listens == false)
        #expect(guardian?.writable == [settings.local.stateDirectory + "/egress", "/var/log/audit"])
        for reach in [gateway, guardian] {
            let kept = [settings.secretsFolder, settings.local.stateDirectory, settings.database]
            for path in reach?.readable ?? ["/"] {
                #expect(!kept.contains { ($0 + "/").hasPrefix(path + "/") }, "\(path)")
            }
        }
        #expect(Part.server.reach(settings, folder: nil) == nil)
    }

    @Test func `The guard keeps three capabilities and the gateway none, under a user of its own`() {
        let guardian = Part.egress.confinement(gatewayUser: 60911),
            gateway = Part.gateway.confinement(gatewayUser: 60911)
        #expect(guardian?.capabilities == [.netAdmin, .netBindService, .sysAdmin] && guardian?.user == nil)
        #expect(gateway?.capabilities == [] && gateway?.user == 60911)
    }
}
