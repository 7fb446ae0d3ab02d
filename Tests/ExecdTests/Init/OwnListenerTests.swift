import HTTPServer
import System
import Testing

@testable import Execd

#if canImport(Glibc)
    import Glibc
#endif

@Suite struct OwnListenerTests {
    @Test func `init binds the one address, and says as runtimes know it where another program has the port`() throws {
        let socket = try OwnListener.bind("127.0.0.1", port: 0)
        defer { close(socket) }
        let port = Int(try RawSocketAddress(of: socket).port)
        #expect(port != 0 && fcntl(socket, F_GETFD) & FD_CLOEXEC != 0)
        var refusal: ListenError?
        do throws(ListenError) { close(try OwnListener.bind("127.0.0.1", port: port)) } catch { refusal = error }
        #expect(refusal?.code == EADDRINUSE)
        #expect(refusal?.description.lowercased().contains("address already in use") == true)
    }
}
