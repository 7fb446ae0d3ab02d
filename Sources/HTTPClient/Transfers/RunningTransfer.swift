import Addresses
import CCurl
import SafeText
import System

/// A transfer on its thread: libcurl's handle for it, and what its callbacks have seen. Only that thread touches it.
final class RunningTransfer {
    let transfer: Transfer
    /// When it is given up if there is no connection; nil once libcurl watches it.
    private(set) var connectBy: UInt64?
    private let begun: UInt64
    private var lastActivity: UInt64
    private(set) var options: TransferOptions?
    private var reader: ResponseHeadReader
    private var received = 0
    /// Whether it waits for the task, in either direction.
    private var isPaused = false
    /// Why a callback refused to go on.
    private var failure: HTTPClientError?
    private let text: UnsafeMutablePointer<CChar>
    private let now: () -> UInt64

    init(_ transfer: Transfer, now: @escaping () -> UInt64 = SystemClock.monotonicMilliseconds) {
        self.transfer = transfer
        self.now = now
        begun = now()
        lastActivity = begun
        let deadlines = transfer.peer.deadlines
        connectBy = Self.time(begun, plus: min(deadlines.connect, deadlines.total ?? .max))
        reader = ResponseHeadReader(limit: transfer.peer.limits.head)
        text = .allocate(capacity: Int(CURL_ERROR_SIZE))
        text.initialize(repeating: 0, count: Int(CURL_ERROR_SIZE))
    }

    deinit {
        // The handle goes before the text that it writes to.
        options = nil
        text.deallocate()
    }

    /// Where the connection leads: the proxy, or the server.
    static func destination(_ peer: HTTPPeer) -> HTTPEndpoint { peer.proxy?.endpoint ?? peer.origin }

    /// - Parameters:
    ///   - addresses: nil where nothing had to be looked up.
    ///   - sockets: outlives this.
    func open(
        _ addresses: [IPAddress]?, sockets: UnsafeMutablePointer<ccurl_socket_options>
    ) throws(HTTPClientError) -> UnsafeMutableRawPointer {
        guard let made = TransferOptions() else { throw .unavailable("libcurl has no memory") }
        made.set(CURLOPT_ERRORBUFFER, pointer: text)
        let context = Unmanaged.passUnretained(self).toOpaque()
        made.set(CURLOPT_PRIVATE, pointer: context)
        made.set(CURLOPT_WRITEDATA, pointer: context)
        made.set(CURLOPT_HEADERDATA, pointer: context)
        made.set(CURLOPT_READDATA, pointer: context)
        made.set(CURLOPT_WRITEFUNCTION) { bytes, size, count, context in
            RunningTransfer.of(context).take(UnsafeRawBufferPointer(start: bytes, count: size * count))
        }
        made.set(CURLOPT_HEADERFUNCTION) { bytes, size, count, context in
            RunningTransfer.of(context).takeHead(UnsafeRawBufferPointer(start: bytes, count: size * count))
        }
        made.set(CURLOPT_READFUNCTION) { bytes, size, count, context in
            RunningTransfer.of(context).give(UnsafeMutableRawBufferPointer(start: bytes, count: size * count))
        }
        made.apply(transfer.request, to: transfer.peer)
        if let addresses { made.applyAddresses(addresses, of: Self.destination(transfer.peer)) }
        let passed = now() - begun
        let deadlines = transfer.peer.deadlines
        made.applyTimes(
            connect: deadlines.connect - min(passed, deadlines.connect),
            total: deadlines.total.map { $0 - min(passed, $0) })
        try made.check()
        guard ccurl_set_socket_options(made.handle, sockets) == CURLE_OK else {
            throw .unavailable("libcurl refuses its sockets")
        }
        connectBy = nil
        let handle = made.handle
        options = made
        return handle
    }

    static func of(_ context: UnsafeMutableRawPointer?) -> RunningTransfer {
        Unmanaged<RunningTransfer>.fromOpaque(context!).takeUnretainedValue()
    }

    // MARK: Deadlines that libcurl does not watch

    /// Milliseconds of the clock; nil for none.
    var deadline: UInt64? {
        if let connectBy { return connectBy }
        guard let idle = transfer.peer.deadlines.idle else { return nil }
        return Self.time(lastActivity, plus: idle)
    }

    private static func time(_ begin: UInt64, plus milliseconds: UInt64) -> UInt64 {
        let (time, overflows) = begin.addingReportingOverflow(milliseconds)
        return overflows ? .max : time
    }

    /// Whether it has taken too long. One that waits for this side never has.
    func isOverdue(at time: UInt64) -> Bool {
        guard let deadline, time >= deadline else { return false }
        if isPaused {
            lastActivity = time
            return false
        }
        return true
    }

    /// The task has made room, or has more to send.
    func resume() {
        isPaused = false
        lastActivity = now()
        if let options { _ = ccurl_easy_resume(options.handle) }
    }

    // MARK: Callbacks

    private func takeHead(_ line: UnsafeRawBufferPointer) -> Int {
        lastActivity = now()
        do throws(HTTPClientError) {
            guard let head = try reader.take(line) else { return line.count }
            if transfer.isCollected, let length = head.contentLength, transfer.request.method != "HEAD",
                length > UInt64(clamping: transfer.peer.limits.body)
            {
                throw .tooLarge(.body)
            }
            transfer.deliver(head)
            return line.count
        } catch {
            failure = error
            return line.count == 0 ? 1 : 0
        }
    }

    private func take(_ bytes: UnsafeRawBufferPointer) -> Int {
        lastActivity = now()
        if transfer.isCollected {
            guard bytes.count <= transfer.peer.limits.body - received else {
                failure = .tooLarge(.body)
                return bytes.count == 0 ? 1 : 0
            }
        }
        guard transfer.deliver(bytes) else {
            isPaused = true
            return Int(CURL_WRITEFUNC_PAUSE)
        }
        if transfer.isCollected { received += bytes.count }
        return bytes.count
    }

    private func give(_ buffer: UnsafeMutableRawBufferPointer) -> Int {
        lastActivity = now()
        switch transfer.fill(buffer) {
        case .bytes(let count): return count
        case .end: return 0
        case .paused:
            isPaused = true
            return Int(CURL_READFUNC_PAUSE)
        case .broken:
            failure = .unfinishedRequest
            return Int(CURL_READFUNC_ABORT)
        }
    }

    // MARK: How it ended

    func outcome(_ code: CURLcode) -> Result<Void, HTTPClientError> {
        if let failure { return .failure(failure) }
        return code == CURLE_OK ? .success(()) : .failure(error(code))
    }

    private func error(_ code: CURLcode) -> HTTPClientError {
        let general = String(cString: ccurl_reason(code))
        switch code {
        case CURLE_COULDNT_RESOLVE_HOST, CURLE_COULDNT_RESOLVE_PROXY:
            return .unresolved(host: Self.destination(transfer.peer).host)
        case CURLE_COULDNT_CONNECT:
            let number = options.map { ccurl_get_number($0.handle, CURLINFO_OS_ERRNO) } ?? 0
            return .unreachable(
                number == 0 ? general : SystemCallError(code: Int32(truncatingIfNeeded: number)).description)
        case CURLE_OPERATION_TIMEDOUT: return .timedOut
        case CURLE_SSL_CONNECT_ERROR, CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_CERTPROBLEM, CURLE_SSL_CIPHER,
            CURLE_SSL_CACERT_BADFILE, CURLE_SSL_ISSUER_ERROR, CURLE_SSL_INVALIDCERTSTATUS, CURLE_SSL_CLIENTCERT,
            CURLE_USE_SSL_FAILED:
            return .insecure(reason ?? general)
        case CURLE_UNSUPPORTED_PROTOCOL, CURLE_WEIRD_SERVER_REPLY, CURLE_BAD_CONTENT_ENCODING: return .malformed
        // A line of a head that is longer than libcurl's buffer for one.
        case CURLE_OUT_OF_MEMORY: return .tooLarge(.head)
        case CURLE_PROXY: return .unreachable("the proxy refuses")
        default:
            if !reader.isComplete, transfer.peer.proxy != nil, transfer.peer.origin.isSecure {
                return .unreachable("through the proxy: \(general)")
            }
            return .interrupted(general)
        }
    }

    /// What libcurl says of this transfer. Names and addresses at most, but part of it may be the server's words.
    private var reason: String? {
        let bytes = UnsafeBufferPointer(start: text, count: Int(CURL_ERROR_SIZE)).prefix { $0 != 0 }
        let said = String(decoding: bytes.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return said.isEmpty ? nil : ForeignText.escaped(said, limit: 200)
    }
}
