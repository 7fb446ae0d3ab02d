import HTTPClient
import Testing

@testable import Runtimes

@Suite struct EngineAddressTests {
    @Test(arguments: [
        ("unix:///var/run/docker.sock", "unix:///var/run/docker.sock"), ("tcp://engine:1234", "http://engine:1234"),
        ("tcp://engine", "http://engine:2375"), ("tcp://[::1]", "http://[::1]:2375"),
        ("tcp://[::1]:99/", "http://[::1]:99"), ("http://10.0.0.1:80", "http://10.0.0.1"),
        ("https://engine", "https://engine:2376"),
    ])
    func `an engine is found where Docker's own clients find it`(_ text: String, _ place: String) throws {
        #expect(try EngineAddress(text).description == place)
    }

    @Test(arguments: [
        "", "docker.sock", "unix://docker.sock", "unix:///" + String(repeating: "a", count: 107), "unix:///a\0b",
        "ssh://engine", "npipe:////./pipe/docker", "tcp://", "tcp://user@engine", "tcp://engine/path", "tcp://engine:0",
        "tcp://engine:65536", "tcp://-engine", "tcp://en gine",
    ])
    func `what is no address of an engine is refused`(_ text: String) {
        #expect(throws: EngineAddress.Problem.self) { try EngineAddress(text) }
    }

    @Test func `a socket has no TLS, and files of TLS that are missing are named`() throws {
        #expect(throws: EngineAddress.Problem.self) { try EngineAddress("unix:///a", certificates: "/certs") }
        let told = try EngineAddress(environment: ["DOCKER_HOST": "unix:///a", "DOCKER_TLS_VERIFY": "1"])
        #expect(told.certificates == nil && told.missingFile == nil, "Docker's own clients pass over it")
        #expect(try EngineAddress("tcp://engine", certificates: "/no/such").missingFile == "/no/such/ca.pem")
    }

    @Test func `TLS is spoken where it is asked for, and nowhere else`() throws {
        let plain = try EngineAddress(environment: ["DOCKER_HOST": "tcp://engine", "DOCKER_TLS_VERIFY": ""])
        #expect(plain.certificates == nil && plain.description == "http://engine:2375")
        let secure = try EngineAddress(environment: [
            "DOCKER_HOST": "tcp://engine", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": "/certs",
        ])
        #expect(secure.description == "https://engine:2376")
        #expect(secure.peer(patience: 1).tls.key == .file("/certs/key.pem"))
        #expect(try EngineAddress(environment: [:]) == .usual)
        let configured = try EngineAddress(environment: ["DOCKER_HOST": "tcp://engine"], certificates: "/mine")
        #expect(configured.certificates == "/mine" && configured.description == "https://engine:2376")
    }
}
