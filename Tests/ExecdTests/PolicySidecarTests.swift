import System
import Testing

@testable import Execd

#if canImport(Glibc)
    import Glibc
#endif

/// Who is given the sidecar's token.
@Suite struct PolicySidecarTests {
    /// Listens on a port of loopback; 0 for any.
    private func listen(_ port: UInt16, isIPv6: Bool = false) throws -> (socket: CInt, port: Int) {
        let socket = Glibc.socket(
            isIPv6 ? AF_INET6 : AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var on: CInt = 1
        setsockopt(socket, SOL_SOCKET, SO_REUSEPORT, &on, socklen_t(MemoryLayout<CInt>.size))
        var address = [UInt8](repeating: 0, count: isIPv6 ? 28 : 16)
        withUnsafeBytes(of: sa_family_t(isIPv6 ? AF_INET6 : AF_INET)) { address.replaceSubrange(0..<2, with: $0) }
        (address[2], address[3]) = (UInt8(port >> 8), UInt8(port & 0xff))
        if isIPv6 { address[23] = 1 } else { address.replaceSubrange(4..<8, with: [127, 0, 0, 1]) }
        var length = socklen_t(address.count)
        let status = address.withUnsafeMutableBytes { bytes -> CInt in
            let raw = bytes.baseAddress!.assumingMemoryBound(to: sockaddr.self)
            guard bind(socket, raw, length) == 0, Glibc.listen(socket, 1) == 0 else { return -1 }
            return getsockname(socket, raw, &length)
        }
        try #require(status == 0, "\(SystemCallError.last)")
        return (socket, Int(address[2]) << 8 | Int(address[3]))
    }

    @Test(arguments: [false, true])
    func `a sidecar is what listened first, and nobody who listens beside it or after it`(isIPv6: Bool) throws {
        let (first, port) = try listen(0, isIPv6: isIPv6)
        let sidecar = PolicySidecar.found(port: port)
        #expect(sidecar.sockets.count == 1 && sidecar.isListening(port: port))
        let beside = try listen(UInt16(port), isIPv6: isIPv6).socket
        #expect(!sidecar.isListening(port: port), "the kernel would choose one of two")
        close(beside)
        #expect(sidecar.isListening(port: port))
        close(first)
        #expect(!sidecar.isListening(port: port))
        #expect(PolicySidecar.found(port: port).sockets.isEmpty)
        let later = try listen(UInt16(port), isIPv6: isIPv6).socket
        defer { close(later) }
        #expect(!sidecar.isListening(port: port))
        #expect(!PolicySidecar().isListening(port: port), "where there was none there is none")
    }

    @Test func `sockets that listen are told from all others`() {
        let table = """
              sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
               0: 00000000:46A0 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1 0 100 0 0 10 0
               1: 0100007F:46A0 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 222 1 0 20 4 30 10 -1
               2: 0100007F:46A1 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 333 1 0 100 0 0 10 0
               3: 00000000000000000000000000000000:46A0 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 444
               4: 46A0 46A0 0A
            """
        #expect(PolicySidecar.inodes(in: table, port: 18080) == [111, 444])
        #expect(PolicySidecar.inodes(in: "", port: 18080).isEmpty)
    }
}
