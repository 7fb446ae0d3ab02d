import NIOCore
import NIOHTTP1
import NIOPosix

#if canImport(Glibc)
    import Glibc
#endif

/// Why a connection could not be made or has ended, in the place of SwiftNIO's errors, which name its own functions.
package enum ConnectionFailure {
    package static func reason(_ error: any Error) -> String {
        switch error {
        case let error as IOError: String(cString: strerror(error.errnoCode))
        case let error as NIOConnectionError:
            // One for each address of a name; they rarely differ.
            error.connectionErrors.first.map { reason($0.error) } ?? "\(error.host) has no address"
        case ChannelError.connectTimeout: "no answer in time"
        case is HTTPParserError: "the answer is not HTTP"
        default: "\(error)"
        }
    }
}
