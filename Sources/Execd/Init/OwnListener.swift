import HTTPServer
import NIOCore

#if canImport(Glibc)
    import Glibc
#endif

/// The socket of an API that is served at one address. Init binds it and keeps it: in a network that others share, they could take
/// the port while the API is started again, and a server that holds a copy of it would be in the way of another one.
enum OwnListener {
    /// It does not listen yet, and closes where another program begins.
    /// - Parameter address: a literal one.
    static func bind(_ address: String, port: Int) throws(ListenError) -> CInt {
        let place = "\(address):\(port)"
        guard let target = try? SocketAddress(ipAddress: address, port: port) else {
            throw ListenError(place: place, code: EINVAL)
        }
        let family = if case .v4 = target { AF_INET } else { AF_INET6 }
        let socket = Glibc.socket(family, CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard socket >= 0 else { throw ListenError(place: place, code: errno) }
        guard target.withSockAddr({ Glibc.bind(socket, $0, socklen_t($1)) }) == 0 else {
            let code = errno
            close(socket)
            throw ListenError(place: place, code: code)
        }
        // As those that it accepts have it then.
        var on: CInt = 1
        setsockopt(socket, CInt(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<CInt>.size))
        return socket
    }
}
