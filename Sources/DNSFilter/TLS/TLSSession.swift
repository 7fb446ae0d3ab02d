import COpenSSL
import NetworkPolicy

/// One TLS connection to an upstream, without the socket: encrypted and plain bytes go in and come out. Nothing is sent
/// before the certificate has been verified.
final class TLSSession {
    private let session: OpaquePointer
    private let received: OpaquePointer
    private let sending: OpaquePointer
    /// Plain bytes to send after the handshake.
    private var waiting: [UInt8] = []
    private(set) var isEstablished = false

    init(_ context: TLSContext, upstream: UpstreamAddress) throws(UpstreamTLSError) {
        guard let session = SSL_new(context.pointer), let received = BIO_new(BIO_s_mem()),
            let sending = BIO_new(BIO_s_mem())
        else { throw .last("OpenSSL has no memory") }
        self.session = session
        self.received = received
        self.sending = sending
        // The session owns both from now on.
        SSL_set_bio(session, received, sending)
        SSL_set_connect_state(session)
        let isExpected: Bool
        switch upstream.tls {
        case .name(let name)?:
            SSL_set_hostflags(session, UInt32(X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS))
            isExpected =
                SSL_set1_host(session, name) == 1
                && name.withCString {
                    SSL_ctrl(
                        session, SSL_CTRL_SET_TLSEXT_HOSTNAME, Int(TLSEXT_NAMETYPE_host_name),
                        UnsafeMutableRawPointer(mutating: $0))
                } == 1
        default:
            isExpected = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(session), "\(upstream.address)") == 1
        }
        // RFC 7858, section 3.1, and its ALPN label.
        let protocols: [UInt8] = [3] + Array("dot".utf8)
        guard isExpected, SSL_set_alpn_protos(session, protocols, UInt32(protocols.count)) == 0 else {
            throw .last("the upstream's name cannot be checked")
        }
    }

    deinit { SSL_free(session) }

    /// Sends plain bytes, after the handshake if it is not done yet.
    func write(_ bytes: [UInt8]) throws(UpstreamTLSError) {
        waiting += bytes
        try proceed()
    }

    /// Takes bytes from the network and appends the decrypted ones. At the end of the connection it throws, after
    /// appending the last bytes.
    func receive(_ bytes: UnsafeRawBufferPointer, into plain: inout [UInt8]) throws(UpstreamTLSError) {
        guard bytes.isEmpty || BIO_write(received, bytes.baseAddress, Int32(bytes.count)) == bytes.count else {
            throw UpstreamTLSError("OpenSSL has no memory")
        }
        try proceed()
        guard isEstablished else { return }
        var chunk = [UInt8](repeating: 0, count: 16 << 10)
        while true {
            ERR_clear_error()
            let count = SSL_read(session, &chunk, Int32(chunk.count))
            guard count > 0 else { return try check(count, "the connection ended") }
            plain += chunk[..<Int(count)]
        }
    }

    /// The bytes to send to the network.
    func takeOutput() -> [UInt8] {
        let count = BIO_ctrl_pending(sending)
        guard count > 0 else { return [] }
        return [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            filled = max(Int(BIO_read(sending, buffer.baseAddress, Int32(count))), 0)
        }
    }

    private func proceed() throws(UpstreamTLSError) {
        if !isEstablished {
            ERR_clear_error()
            let status = SSL_do_handshake(session)
            guard status == 1 else {
                let verdict = SSL_get_verify_result(session)
                guard verdict == Int(X509_V_OK) else {
                    throw UpstreamTLSError("certificate: \(String(cString: X509_verify_cert_error_string(verdict)))")
                }
                return try check(status, "the handshake failed")
            }
            isEstablished = true
        }
        guard !waiting.isEmpty else { return }
        ERR_clear_error()
        let count = SSL_write(session, waiting, Int32(waiting.count))
        guard count > 0 else { return try check(count, "the connection cannot be written to") }
        waiting = []
    }

    /// Having to wait for the network is not an error.
    private func check(_ status: Int32, _ what: String) throws(UpstreamTLSError) {
        let code = SSL_get_error(session, status)
        guard code != SSL_ERROR_WANT_READ, code != SSL_ERROR_WANT_WRITE else { return }
        throw .last(what)
    }
}
