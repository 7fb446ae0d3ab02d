import Addresses
import Foundation
import TestSupport
import Testing

@testable import HTTPClient

/// Whom a client believes, and how it shows itself.
@Suite struct TLSTests {
    private static let authority = Result { try TestAuthority("ours") }
    /// Every name leads to this machine.
    private let client = HTTPClient { _ in [IPAddress("127.0.0.1")!] }

    private func peer(_ server: TLSServer, host: String = "right.example", trust: ClientTLS.Source?) -> HTTPPeer {
        var peer = HTTPPeer(HTTPEndpoint("https://\(host):\(server.port)")!)
        peer.tls.authorities = trust
        peer.headers = [("Authorization", "Bearer secret")]
        return peer
    }

    /// Why there is no TLS; nil where there is.
    private func refusal(_ peer: HTTPPeer) async -> String? {
        do throws(HTTPClientError) { _ = try await client.send(ClientRequest("GET", "/"), to: peer) } catch {
            if case .insecure(let reason) = error { return reason }
            return "another error: \(error)"
        }
        return nil
    }

    private func bytes(_ path: String) throws -> [UInt8] {
        Array(try #require(FileManager.default.contents(atPath: path)))
    }

    @Test func `HTTP/2 is spoken where the server has it, and its authority is a file or bytes`() async throws {
        let authority = try Self.authority.get()
        let made = try authority.issue("http2", to: "DNS:right.example,IP:127.0.0.1")
        let server = try await TLSServer(certificate: made.certificate, key: made.key)
        defer { server.stop() }
        for trust in [ClientTLS.Source.file(authority.certificate), .bytes(try bytes(authority.certificate))] {
            for host in ["right.example", "127.0.0.1"] {
                let body = [UInt8](repeating: 120, count: 100_000)
                let request = ClientRequest("POST", "/", body: .bytes(body))
                let response = try await client.send(request, to: peer(server, host: host, trust: trust))
                #expect(response.status == 200 && response.text == "h2 100000")
            }
        }
    }

    @Test func `a certificate of nobody known, of another name or out of date is refused`() async throws {
        let (authority, other) = (try Self.authority.get(), try TestAuthority("other"))
        let made = try authority.issue("good", to: "DNS:right.example")
        let server = try await TLSServer(certificate: made.certificate, key: made.key)
        defer { server.stop() }
        let trust = ClientTLS.Source.file(authority.certificate)
        #expect(await refusal(peer(server, trust: trust)) == nil)
        // The system does not know it, nor does the other authority.
        for trust in [nil, .file(other.certificate), .bytes(try bytes(other.certificate))] as [ClientTLS.Source?] {
            #expect(try #require(await refusal(peer(server, trust: trust))).contains("certificate"))
        }
        #expect(await refusal(peer(server, host: "wrong.example", trust: trust))?.contains("wrong.example") == true)
        #expect(await refusal(peer(server, host: "127.0.0.1", trust: trust))?.contains("another error") == false)
        for trust in [ClientTLS.Source.file("/none"), .bytes(Array("no PEM".utf8)), .bytes([])] {
            #expect(await refusal(peer(server, trust: trust)) != nil)
        }

        let old = try authority.issue("old", to: "DNS:right.example", ended: true)
        let late = try await TLSServer(certificate: old.certificate, key: old.key)
        defer { late.stop() }
        #expect(try #require(await refusal(peer(late, trust: trust))).contains("expired"))
    }

    @Test func `a server that wants a certificate of its client gets it, and nobody else is let in`() async throws {
        let (authority, foreign) = (try Self.authority.get(), try TestAuthority("other"))
        let made = try authority.issue("mutual", to: "DNS:right.example")
        let server = try await TLSServer(
            certificate: made.certificate, key: made.key, clients: authority.certificate)
        defer { server.stop() }
        let (mine, wrong) = (try authority.issue("client", to: "DNS:me"), try foreign.issue("client", to: "DNS:me"))
        var known = peer(server, trust: .file(authority.certificate))
        let anonymous = known
        known.tls.certificate = .bytes(try bytes(mine.certificate))
        known.tls.key = .bytes(try bytes(mine.key))
        #expect(try await client.send(ClientRequest("GET", "/"), to: known).text == "h2 0")
        var stranger = anonymous
        stranger.tls.certificate = .file(wrong.certificate)
        stranger.tls.key = .file(wrong.key)
        // The connection of the one that was let in is open, and must not carry these.
        for peer in [anonymous, stranger] {
            await #expect(throws: HTTPClientError.self) { try await client.send(ClientRequest("GET", "/"), to: peer) }
        }
        known.tls.key = .bytes(try bytes(wrong.key))
        // Of another client: a connection that is open has no use for a key.
        let other = HTTPClient { _ in [IPAddress("127.0.0.1")!] }
        await #expect(throws: HTTPClientError.self) { try await other.send(ClientRequest("GET", "/"), to: known) }
    }

    @Test func `a server without TLS is none, and what is said of it has no secret`() async throws {
        let server = ScriptedServer { connection in
            connection.write("HTTP/1.1 200 OK\r\n\r\n")
            connection.awaitEnd()
        }
        defer { server.stop() }
        var peer = HTTPPeer(HTTPEndpoint("https://right.example:\(server.port)")!)
        peer.authorize(bearer: "secret")
        let reason = try #require(await refusal(peer))
        #expect(!reason.contains("secret") && !reason.contains("another error"))
    }
}
