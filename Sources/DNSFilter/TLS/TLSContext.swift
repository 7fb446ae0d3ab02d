import COpenSSL

/// Why DNS over TLS failed.
struct UpstreamTLSError: Error, Hashable, Sendable, CustomStringConvertible {
    var description: String

    init(_ reason: String) { description = reason }

    /// The last error of this thread, in OpenSSL's words.
    static func last(_ what: String) -> UpstreamTLSError {
        let code = ERR_get_error()
        guard code != 0, let reason = ERR_reason_error_string(code) else { return UpstreamTLSError(what) }
        return UpstreamTLSError("\(what): \(String(cString: reason))")
    }
}

/// The shared context of all TLS connections, with the trusted certificate authorities. Created only if an upstream
/// uses TLS, because it initialises OpenSSL.
final class TLSContext {
    let pointer: OpaquePointer

    /// - Parameter authorities: a PEM file; nil for the system's.
    init(authorities: String?) throws(UpstreamTLSError) {
        guard let made = SSL_CTX_new(TLS_client_method()) else { throw .last("OpenSSL has no context") }
        pointer = made
        SSL_CTX_set_verify(made, SSL_VERIFY_PEER, nil)
        _ = SSL_CTX_ctrl(made, SSL_CTRL_SET_MIN_PROTO_VERSION, Int(TLS1_2_VERSION), nil)
        let found =
            authorities.map { SSL_CTX_load_verify_locations(made, $0, nil) } ?? SSL_CTX_set_default_verify_paths(made)
        guard found == 1 else {
            throw .last("the authorities for DNS over TLS\(authorities.map { " (\($0))" } ?? "") cannot be read")
        }
    }

    deinit { SSL_CTX_free(pointer) }
}
