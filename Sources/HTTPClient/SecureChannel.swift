#if canImport(Glibc)
    import Glibc
#endif

/// TLS with the system's libssl, which is loaded at the first `https` request, so that a program without any neither
/// links nor maps it.
///
/// The certificate must be for the host and from an authority that the system trusts; at least TLS 1.2.
struct SecureChannel: ByteChannel {
    private let connection: Connection
    private let socket: CInt
    private let deadline: Deadline

    init(socket: CInt, host: String, deadline: Deadline) throws(HTTPClientError) {
        guard let library = TLSLibrary.shared else {
            throw .insecure("libssl.so.3 is not on this system: install libssl3 and ca-certificates")
        }
        guard let connection = Connection(library, socket: socket, host: host) else {
            throw .insecure("the library refused the settings")
        }
        self.connection = connection
        self.socket = socket
        self.deadline = deadline
        guard try perform({ library.connect(connection.session) }) > 0 else { throw .insecure("the server hung up") }
    }

    func send(_ bytes: [UInt8]) throws(HTTPClientError) {
        // libssl either writes everything or must be called again with the same bytes.
        let written = try perform {
            bytes.withUnsafeBytes { connection.library.write(connection.session, $0.baseAddress, CInt($0.count)) }
        }
        guard written > 0 else { throw .insecure("the server hung up") }
    }

    func receive() throws(HTTPClientError) -> [UInt8] {
        var chunk = [UInt8](repeating: 0, count: 4096)
        let count = try perform {
            chunk.withUnsafeMutableBytes {
                connection.library.read(connection.session, $0.baseAddress, CInt($0.count))
            }
        }
        return Array(chunk[..<Int(count)])
    }

    /// - Returns: 0 at the end of the stream.
    private func perform(_ call: () -> CInt) throws(HTTPClientError) -> CInt {
        while true {
            connection.library.clearErrors()
            let status = call()
            if status > 0 { return status }
            switch connection.library.error(connection.session, status) {
            case 2: try deadline.wait(for: socket, POLLIN)  // SSL_ERROR_WANT_READ
            case 3: try deadline.wait(for: socket, POLLOUT)  // SSL_ERROR_WANT_WRITE
            case 6: return 0  // SSL_ERROR_ZERO_RETURN
            default: throw .insecure(connection.reason)
            }
        }
    }

    /// libssl's objects for one connection.
    private final class Connection {
        let library: TLSLibrary
        let context: OpaquePointer
        let session: OpaquePointer

        init?(_ library: TLSLibrary, socket: CInt, host: String) {
            guard let context = library.newContext(library.clientMethod()) else { return nil }
            guard let session = library.newSession(context) else {
                library.freeContext(context)
                return nil
            }
            self.library = library
            self.context = context
            self.session = session
            var address = in6_addr()
            let isAddress = inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1
            library.verify(session, 1, nil)  // SSL_VERIFY_PEER
            let isSet =
                library.trustSystem(context) == 1
                // SSL_CTRL_SET_MIN_PROTO_VERSION to TLS 1.2; SSL_CTRL_SET_TLSEXT_HOSTNAME.
                && library.control(session, 123, 0x0303, nil) == 1
                && (isAddress
                    ? library.expectAddress(library.parameters(session), host) == 1
                    : library.expectHost(session, host) == 1
                        && host.withCString { name in
                            library.control(session, 55, 0, UnsafeMutableRawPointer(mutating: name)) == 1
                        })
                && library.attach(session, socket) == 1
            guard isSet else { return nil }
        }

        var reason: String {
            let verdict = library.verifyResult(session)
            if verdict != 0 { return String(cString: library.verifyText(verdict)) }
            var text = [CChar](repeating: 0, count: 256)
            library.errorText(library.lastError(), &text, text.count)
            return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }

        deinit {
            library.freeSession(session)
            library.freeContext(context)
        }
    }
}

/// The functions of libssl and libcrypto in use, with their OpenSSL 3 signatures.
private struct TLSLibrary: @unchecked Sendable {
    typealias Pointer = OpaquePointer
    let clientMethod: @convention(c) () -> Pointer?
    let newContext: @convention(c) (Pointer?) -> Pointer?
    let freeContext: @convention(c) (Pointer?) -> Void
    let trustSystem: @convention(c) (Pointer?) -> CInt
    let newSession: @convention(c) (Pointer?) -> Pointer?
    let freeSession: @convention(c) (Pointer?) -> Void
    let verify: @convention(c) (Pointer?, CInt, UnsafeRawPointer?) -> Void
    let expectHost: @convention(c) (Pointer?, UnsafePointer<CChar>?) -> CInt
    let parameters: @convention(c) (Pointer?) -> Pointer?
    let expectAddress: @convention(c) (Pointer?, UnsafePointer<CChar>?) -> CInt
    let control: @convention(c) (Pointer?, CInt, CLong, UnsafeMutableRawPointer?) -> CLong
    let attach: @convention(c) (Pointer?, CInt) -> CInt
    let connect: @convention(c) (Pointer?) -> CInt
    let write: @convention(c) (Pointer?, UnsafeRawPointer?, CInt) -> CInt
    let read: @convention(c) (Pointer?, UnsafeMutableRawPointer?, CInt) -> CInt
    let error: @convention(c) (Pointer?, CInt) -> CInt
    let verifyResult: @convention(c) (Pointer?) -> CLong
    let verifyText: @convention(c) (CLong) -> UnsafePointer<CChar>
    let clearErrors: @convention(c) () -> Void
    let lastError: @convention(c) () -> CUnsignedLong
    let errorText: @convention(c) (CUnsignedLong, UnsafeMutablePointer<CChar>?, Int) -> Void

    static let shared = TLSLibrary()

    private init?() {
        guard let library = dlopen("libssl.so.3", RTLD_NOW | RTLD_LOCAL) else { return nil }
        func function<Signature>(_ name: String, _ type: Signature.Type = Signature.self) -> Signature? {
            dlsym(library, name).map { unsafeBitCast($0, to: type) }
        }
        guard let clientMethod = function("TLS_client_method", (@convention(c) () -> Pointer?).self),
            let newContext = function("SSL_CTX_new", (@convention(c) (Pointer?) -> Pointer?).self),
            let freeContext = function("SSL_CTX_free", (@convention(c) (Pointer?) -> Void).self),
            let trustSystem = function("SSL_CTX_set_default_verify_paths", (@convention(c) (Pointer?) -> CInt).self),
            let newSession = function("SSL_new", (@convention(c) (Pointer?) -> Pointer?).self),
            let freeSession = function("SSL_free", (@convention(c) (Pointer?) -> Void).self),
            let verify = function(
                "SSL_set_verify", (@convention(c) (Pointer?, CInt, UnsafeRawPointer?) -> Void).self),
            let expectHost = function(
                "SSL_set1_host", (@convention(c) (Pointer?, UnsafePointer<CChar>?) -> CInt).self),
            let parameters = function("SSL_get0_param", (@convention(c) (Pointer?) -> Pointer?).self),
            let expectAddress = function(
                "X509_VERIFY_PARAM_set1_ip_asc", (@convention(c) (Pointer?, UnsafePointer<CChar>?) -> CInt).self),
            let control = function(
                "SSL_ctrl", (@convention(c) (Pointer?, CInt, CLong, UnsafeMutableRawPointer?) -> CLong).self),
            let attach = function("SSL_set_fd", (@convention(c) (Pointer?, CInt) -> CInt).self),
            let connect = function("SSL_connect", (@convention(c) (Pointer?) -> CInt).self),
            let write = function("SSL_write", (@convention(c) (Pointer?, UnsafeRawPointer?, CInt) -> CInt).self),
            let read = function(
                "SSL_read", (@convention(c) (Pointer?, UnsafeMutableRawPointer?, CInt) -> CInt).self),
            let error = function("SSL_get_error", (@convention(c) (Pointer?, CInt) -> CInt).self),
            let verifyResult = function("SSL_get_verify_result", (@convention(c) (Pointer?) -> CLong).self),
            let verifyText = function(
                "X509_verify_cert_error_string", (@convention(c) (CLong) -> UnsafePointer<CChar>).self),
            let clearErrors = function("ERR_clear_error", (@convention(c) () -> Void).self),
            let lastError = function("ERR_peek_last_error", (@convention(c) () -> CUnsignedLong).self),
            let errorText = function(
                "ERR_error_string_n",
                (@convention(c) (CUnsignedLong, UnsafeMutablePointer<CChar>?, Int) -> Void).self)
        else { return nil }
        self.clientMethod = clientMethod
        self.newContext = newContext
        self.freeContext = freeContext
        self.trustSystem = trustSystem
        self.newSession = newSession
        self.freeSession = freeSession
        self.verify = verify
        self.expectHost = expectHost
        self.parameters = parameters
        self.expectAddress = expectAddress
        self.control = control
        self.attach = attach
        self.connect = connect
        self.write = write
        self.read = read
        self.error = error
        self.verifyResult = verifyResult
        self.verifyText = verifyText
        self.clearErrors = clearErrors
        self.lastError = lastError
        self.errorText = errorText
    }
}
