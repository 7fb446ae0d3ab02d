import TestSupport
import Testing

@testable import Supervision

#if canImport(Glibc)
    import Glibc
#endif

@Suite struct ServiceManagerTests {
    /// What a service manager receives at an address.
    private func received(_ address: [UInt8], telling place: String) throws -> String {
        var raw = withUnsafeBytes(of: sa_family_t(AF_UNIX)) { Array($0) } + address
        let descriptor = socket(AF_UNIX, CInt(SOCK_DGRAM.rawValue), 0), length = socklen_t(raw.count)
        defer { close(descriptor) }
        let bound = raw.withUnsafeMutableBytes {
            bind(descriptor, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), length)
        }
        try #require(bound == 0)
        try ServiceManager.tellReady(socket: place)
        var bytes = [UInt8](repeating: 0, count: 100)
        let count = recv(descriptor, &bytes, bytes.count, CInt(MSG_DONTWAIT))
        return String(decoding: bytes[..<max(0, count)], as: UTF8.self)
    }

    @Test func `a service manager is told at a path, and at an abstract name`() throws {
        let folder = TemporaryFolder("notify"), path = folder.path + "/socket"
        #expect(try received(Array(path.utf8) + [0], telling: path) == "READY=1")
        let name = "sallyport-test-\(UInt64.random(in: 0 ... .max))"
        #expect(try received([0] + Array(name.utf8), telling: "@" + name) == "READY=1")
    }

    @Test(arguments: [nil, ""]) func `nobody is told where nobody waits`(place: String?) throws {
        try ServiceManager.tellReady(socket: place)
    }

    @Test(arguments: ["/no/such/socket", String(repeating: "x", count: 200), "@"])
    func `who cannot be told is an error that names the socket`(place: String) {
        let error = #expect(throws: SupervisionError.self) { try ServiceManager.tellReady(socket: place) }
        #expect("\(error.map { "\($0)" } ?? "")".contains(place))
    }
}
