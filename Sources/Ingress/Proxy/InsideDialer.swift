import NIOCore

#if canImport(Glibc)
    import Glibc
#endif

/// Makes connections from inside sandboxes, to servers that listen on the sandbox's own loopback only. For gateways in the
/// process that has the sandboxes' network namespaces.
package protocol InsideDialer: Sendable {
    /// Must not block.
    /// - Parameter incarnation: which sandbox (`Backend.incarnation`).
    /// - Returns: the descriptor of a connected socket, which the caller closes. Fails with `IOError` where the kernel
    ///   refuses, and with another error where there is no way in.
    func dial(inside incarnation: String, port: Int, on loop: any EventLoop) -> EventLoopFuture<CInt>
}

/// Why no connection to a sandbox was made, where that is not the system's error as it is.
enum DialError: Error {
    /// The sandbox's address refuses, and its loopback is out of reach from here.
    case refusedAtAddress
    /// The access that the connection was for has ended in between.
    case ended
}
