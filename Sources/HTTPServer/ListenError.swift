import NIOCore

#if canImport(Glibc)
    import Glibc
#endif

/// An address that cannot be listened on.
package struct ListenError: Error, CustomStringConvertible {
    /// `host:port`, or a path.
    package var place: String
    /// From <errno.h>.
    package var code: CInt

    package init(place: String, code: CInt) { (self.place, self.code) = (place, code) }

    package var description: String { "cannot listen on \(place): \(Self.reason(code))" }

    /// What the kernel said, and what it takes.
    package static func reason(_ code: CInt) -> String {
        let advice =
            switch code {
            case EADDRINUSE: "; stop what uses it, or name another place"
            case EADDRNOTAVAIL: "; name an address that this machine has"
            case EACCES, EPERM: "; run as a user who may, or name another place"
            default: ""
            }
        return String(cString: strerror(code)) + advice
    }

    /// In the place of SwiftNIO's error, which names its own functions.
    package static func translating<Value>(
        _ bound: EventLoopFuture<Value>, of place: String
    ) -> EventLoopFuture<Value> {
        bound.flatMapErrorThrowing { error in
            guard let error = error as? IOError else { throw error }
            throw ListenError(place: place, code: error.errnoCode)
        }
    }
}
