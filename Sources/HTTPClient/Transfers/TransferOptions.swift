import Addresses
import CCurl
import System

#if canImport(Glibc)
    import Glibc
#endif

/// What libcurl is told about one transfer.
final class TransferOptions {
    let handle: UnsafeMutableRawPointer
    private var lists: [UnsafeMutablePointer<curl_slist>] = []
    /// CURLE_OK, or why an option was refused.
    private var code = CURLE_OK

    init?() {
        guard let handle = ccurl_easy_create() else { return nil }
        self.handle = handle
    }

    deinit {
        ccurl_easy_free(handle)
        for list in lists { ccurl_list_free(list) }
    }

    private func set(_ option: CURLoption, _ number: Int) { take(ccurl_set_number(handle, option, number)) }
    private func set(_ option: CURLoption, size: Int) { take(ccurl_set_size(handle, option, Int64(size))) }
    private func set(_ option: CURLoption, _ text: String?) { take(ccurl_set_text(handle, option, text)) }
    func set(_ option: CURLoption, pointer: UnsafeMutableRawPointer?) {
        take(ccurl_set_pointer(handle, option, pointer))
    }
    func set(_ option: CURLoption, _ function: @escaping curl_write_callback) {
        take(ccurl_set_callback(handle, option, function))
    }

    private func set(_ option: CURLoption, _ lines: [String]) {
        var list: UnsafeMutablePointer<curl_slist>?
        for line in lines {
            list = ccurl_list_append(list, line)
            guard list != nil else { return take(CURLE_OUT_OF_MEMORY) }
        }
        guard let list else { return }
        lists.append(list)
        take(ccurl_set_list(handle, option, list))
    }

    private func take(_ code: CURLcode) { if self.code == CURLE_OK { self.code = code } }

    /// - Throws: `unavailable` where this libcurl refuses an option.
    func check() throws(HTTPClientError) {
        guard code == CURLE_OK else {
            throw .unavailable("libcurl refuses an option: \(String(cString: ccurl_reason(code)))")
        }
    }

    // MARK: What is asked

    func apply(_ request: ClientRequest, to peer: HTTPPeer) {
        set(CURLOPT_NOSIGNAL, 1)
        set(CURLOPT_PROTOCOLS_STR, "http,https")
        // Redirects are answers like others, so these are never asked for.
        set(CURLOPT_FOLLOWLOCATION, 0)
        set(CURLOPT_REDIR_PROTOCOLS_STR, "https")
        set(CURLOPT_PATH_AS_IS, 1)
        set(CURLOPT_HTTP09_ALLOWED, 0)
        set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1)
        set(CURLOPT_TCP_NODELAY, 1)
        set(
            CURLOPT_HTTP_VERSION,
            peer.speaksHTTP2 && !peer.origin.isSecure
                ? Int(CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE) : Int(CURL_HTTP_VERSION_2TLS))
        set(CURLOPT_URL, (peer.origin.isSecure ? "https://" : "http://") + peer.origin.authority + request.target)
        if let socket = peer.unixSocket { set(CURLOPT_UNIX_SOCKET_PATH, socket) }
        if !request.mayRepeat || !peer.keepsConnections { set(CURLOPT_FRESH_CONNECT, 1) }
        if !peer.keepsConnections { set(CURLOPT_FORBID_REUSE, 1) }
        applyProxy(peer)
        applyTLS(peer)
        applyBody(request)
        let fields = peer.headers + request.headers
        var lines = fields.map { $0.value.isEmpty ? "\($0.name);" : "\($0.name): \($0.value)" }
        // libcurl would add these.
        lines.append("Expect:")
        if !fields.contains(where: { $0.name.lowercased() == "content-type" }) { lines.append("Content-Type:") }
        set(CURLOPT_HTTPHEADER, lines)
    }

    private func applyBody(_ request: ClientRequest) {
        switch request.body {
        case .none where request.method == "HEAD": set(CURLOPT_NOBODY, 1)
        case .none where ["POST", "PUT", "PATCH"].contains(request.method): setBody([])
        case .none: set(CURLOPT_HTTPGET, 1)
        case .bytes(let bytes): setBody(bytes)
        case .stream(let length, _):
            set(CURLOPT_UPLOAD, 1)
            set(CURLOPT_INFILESIZE_LARGE, size: length ?? -1)
        }
        set(CURLOPT_CUSTOMREQUEST, request.method)
    }

    private func setBody(_ bytes: [UInt8]) {
        set(CURLOPT_POSTFIELDSIZE_LARGE, size: bytes.count)
        var bytes = bytes
        if bytes.isEmpty { bytes = [0] }
        bytes.withUnsafeMutableBytes { set(CURLOPT_COPYPOSTFIELDS, pointer: $0.baseAddress) }
    }

    private func applyProxy(_ peer: HTTPPeer) {
        // An empty text keeps libcurl from reading variables.
        set(CURLOPT_NOPROXY, "")
        guard let proxy = peer.proxy, peer.unixSocket == nil else { return set(CURLOPT_PROXY, "") }
        set(CURLOPT_PROXY, proxy.endpoint.description)
        set(CURLOPT_PROXYTYPE, Int((proxy.endpoint.isSecure ? CURLPROXY_HTTPS : CURLPROXY_HTTP).rawValue))
        if let (user, password) = proxy.credentials {
            set(CURLOPT_PROXYAUTH, 1)  // CURLAUTH_BASIC
            set(CURLOPT_PROXYUSERNAME, user)
            set(CURLOPT_PROXYPASSWORD, password)
        }
    }

    private func applyTLS(_ peer: HTTPPeer) {
        let oldest = Int(CURL_SSLVERSION_TLSv1_2)
        for option in [CURLOPT_SSLVERSION, CURLOPT_PROXY_SSLVERSION] { set(option, oldest) }
        for option in [CURLOPT_SSL_VERIFYPEER, CURLOPT_PROXY_SSL_VERIFYPEER] { set(option, 1) }
        for option in [CURLOPT_SSL_VERIFYHOST, CURLOPT_PROXY_SSL_VERIFYHOST] { set(option, 2) }
        for (file, folder) in [(CURLOPT_CAINFO, CURLOPT_CAPATH), (CURLOPT_PROXY_CAINFO, CURLOPT_PROXY_CAPATH)] {
            // The proxy is believed as the system says.
            applyAuthorities(file == CURLOPT_CAINFO ? peer.tls.authorities : nil, file, folder)
        }
        if let certificate = peer.tls.certificate {
            set(certificate, CURLOPT_SSLCERT, CURLOPT_SSLCERT_BLOB)
            set(CURLOPT_SSLCERTTYPE, "PEM")
        }
        if let key = peer.tls.key {
            set(key, CURLOPT_SSLKEY, CURLOPT_SSLKEY_BLOB)
            set(CURLOPT_SSLKEYTYPE, "PEM")
        }
    }

    private func applyAuthorities(_ source: ClientTLS.Source?, _ file: CURLoption, _ folder: CURLoption) {
        if let source {
            // Without the system's folder, which libcurl would believe as well.
            set(folder, nil as String?)
            set(source, file, CURLOPT_CAINFO_BLOB)
            return
        }
        let (named, folders) = (ClientTLS.authoritiesFile, ClientTLS.authoritiesFolder)
        guard named != nil || folders != nil else { return }
        set(file, named)
        set(folder, folders)
    }

    private func set(_ source: ClientTLS.Source, _ file: CURLoption, _ blob: CURLoption) {
        switch source {
        case .file(let path): set(file, path)
        case .bytes(let bytes): bytes.withUnsafeBytes { take(ccurl_set_blob(handle, blob, $0.baseAddress, $0.count)) }
        }
    }

    // MARK: What is left of the time, and where the name leads

    func applyTimes(connect: UInt64, total: UInt64?) {
        // 0 would mean libcurl's own.
        set(CURLOPT_CONNECTTIMEOUT_MS, Int(min(max(1, connect), UInt64(Int32.max))))
        if let total { set(CURLOPT_TIMEOUT_MS, Int(min(max(1, total), UInt64(Int32.max)))) }
    }

    /// - Parameter addresses: of the server, or of the proxy. libcurl asks no resolver: its own would keep the thread waiting.
    func applyAddresses(_ addresses: [IPAddress], of endpoint: HTTPEndpoint) {
        let list = addresses.map { $0.isIPv4 ? "\($0)" : "[\($0)]" }.joined(separator: ",")
        // With the plus it is forgotten after a minute.
        set(CURLOPT_RESOLVE, ["+\(endpoint.host):\(endpoint.port):\(list)"])
    }
}
