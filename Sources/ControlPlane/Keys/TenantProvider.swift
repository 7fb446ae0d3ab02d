import HTTPClient
import JSON
import Logging
import NIOHTTP1
import Synchronization
import System

/// Tenants of another server, which is asked whose a key is, as the contract has it: `GET` of its endpoint with the key in
/// `OPEN-SANDBOX-API-KEY`; 200 with `{"namespace", "ttl"}`, or 401 for a key that it does not know (403 is read as the same).
///
/// Of the keys only hashes are kept, and none is logged. Where it gives no answer, and there is none that may still be used, nobody
/// is let in.
final class TenantProvider: Sendable {
    struct Settings: Hashable, Sendable {
        var endpoint: HTTPEndpoint
        /// Seconds for which an answer is used beyond its time where the provider gives no other.
        var maxStale = 300
        /// Milliseconds that a question may take.
        var timeout: UInt64 = 5000
        /// A field for the provider to know this server by, and its value, a secret.
        var header: String?
        var token: String?
    }

    private struct Question {
        var task: Task<Void, Never>
        var isKnown: Bool
    }

    private struct State {
        var cache: TenantCache
        var asking: [String: Question] = [:]
        /// Of questions about keys that are nobody's yet.
        var rate: RateLimiter
        var complaints: RateLimiter
    }

    /// Questions at a time, and of these about keys that are nobody's yet: the others' answers have to be renewed whatever comes.
    static let most = 16, mostUnknown = 8
    /// Questions about keys of which nothing is known: at once, and a second.
    static let burst = 50, perSecond = 20
    /// Bytes of a key, and of an answer.
    private static let maxKey = 1024, maxAnswer = 64 << 10
    /// Seconds: where the answer says nothing, and the most that counts.
    private static let usualTTL: UInt64 = 30, longestTTL: UInt64 = 3600

    private let settings: Settings
    private let peer: HTTPPeer
    private let http: HTTPClient
    private let now: @Sendable () -> UInt64
    private let logger: Logger
    private let state: Mutex<State>

    init(
        _ settings: Settings, http: HTTPClient = .shared, logger: Logger,
        now: @escaping @Sendable () -> UInt64 = { SystemClock.monotonicNanoseconds() }
    ) {
        self.settings = settings
        self.http = http
        self.logger = logger
        self.now = now
        var peer = HTTPPeer(settings.endpoint)
        peer.deadlines = ClientDeadlines(connect: settings.timeout, total: settings.timeout)
        peer.limits.body = Self.maxAnswer
        if let header = settings.header, let token = settings.token { peer.headers.append((header, token)) }
        self.peer = peer
        state = Mutex(
            State(
                cache: TenantCache(maxStale: UInt64(max(0, settings.maxStale)) * TenantCache.second),
                rate: RateLimiter(Rate(burst: Self.burst, perSecond: Self.perSecond), now: now()),
                complaints: RateLimiter(Rate(burst: 1, every: .seconds(10)), now: now())))
    }

    /// Says what an operator would want to know at the start.
    func warn() {
        guard !settings.endpoint.isSecure, !settings.endpoint.host.hasPrefix("127."),
            !["localhost", "::1"].contains(settings.endpoint.host)
        else { return }
        logger.warning(
            "keys of tenants are sent to their provider without TLS: use https://", metadata: ["provider": "\(peer)"])
    }

    /// What is to be waited for before `caller` is asked; nil if nothing is.
    func question(about key: String) -> Task<Void, Never>? {
        guard Self.isKey(key) else { return nil }
        let hash = APIKey.hash(key), now = now()
        return state.withLock { state in
            if let asking = state.asking[hash] { return asking.task }
            guard state.cache.asks(hash, at: now), state.asking.count < Self.most else { return nil }
            let isKnown = state.cache.knows(hash)
            if !isKnown {
                guard state.asking.values.count(where: { !$0.isKnown }) < Self.mostUnknown, state.rate.take(now: now)
                else { return nil }
            }
            let task = Task {
                await ask(key, hash)
                // Waits for the lock until the task is entered.
                self.state.withLock { $0.asking[hash] = nil }
            }
            state.asking[hash] = Question(task: task, isKnown: isKnown)
            return task
        }
    }

    /// - Returns: nil for a key that is nobody's.
    /// - Throws: 503 where that is not known.
    func caller(of key: String) throws(APIError) -> Caller? {
        guard Self.isKey(key) else { return nil }
        let now = now(), hash = APIKey.hash(key)
        switch state.withLock({ $0.cache.answer(hash, at: now) }) {
        case .tenant(let namespace): return Tenants.caller(name: namespace, namespace: namespace)
        case .nobody: return nil
        case .none:
            throw APIError(
                .serviceUnavailable, APIError.noTenantProvider,
                "the tenant of this API key cannot be looked up: the provider of tenants does not answer, or is asked too often; "
                    + "try again in a moment")
        }
    }

    /// Whether it can be a key at all: nothing else is sent on.
    private static func isKey(_ key: String) -> Bool {
        (1...maxKey).contains(key.utf8.count) && key.utf8.allSatisfy { (0x21...0x7e).contains($0) }
    }

    private func ask(_ key: String, _ hash: String) async {
        let request = ClientRequest(
            "GET", settings.endpoint.target, headers: [("OPEN-SANDBOX-API-KEY", key), ("Accept", "application/json")])
        let outcome: Result<(namespace: String, ttl: UInt64)?, Failure>
        do throws(HTTPClientError) {
            let answer = try await http.send(request, to: peer)
            switch answer.status {
            case 200: outcome = Self.read(answer.body)
            case 401, 403: outcome = .success(nil)
            default:
                outcome = .failure(
                    Failure(reason: "it answers with \(answer.status)", isOutage: answer.status >= 500))
            }
        } catch {
            let isOutage =
                switch error {
                // What one key makes of the request or of its answer.
                case .invalidRequest, .tooLarge: false
                default: true
                }
            outcome = .failure(Failure(reason: "\(error)", isOutage: isOutage))
        }
        let now = now()
        let complaint: (String, Int)? = state.withLock { state in
            switch outcome {
            case .success(let tenant?): state.cache.learn(hash, namespace: tenant.namespace, ttl: tenant.ttl, at: now)
            case .success(nil): state.cache.learnUnknown(hash, at: now)
            case .failure(let failure):
                if failure.isOutage {
                    state.cache.noteOutage(at: now)
                } else {
                    state.cache.noteFailure(hash, at: now)
                }
                return state.complaints.admit(now: now).map { (failure.reason, $0) }
            }
            return nil
        }
        guard let (reason, suppressed) = complaint else { return }
        logger.error(
            "the provider of tenants does not say whose a key is",
            metadata: ["provider": "\(peer)", "error": "\(reason)", "suppressed": "\(suppressed)"])
    }

    private struct Failure: Error {
        var reason: String
        /// Whether it concerns every key.
        var isOutage = false
    }

    /// - Returns: never nil.
    private static func read(_ body: [UInt8]) -> Result<(namespace: String, ttl: UInt64)?, Failure> {
        guard case .object(let object)? = try? JSONValue(body), case .string(let namespace)? = object["namespace"],
            PoolRequest.isName(namespace)
        else {
            return .failure(Failure(reason: "its answer names no namespace of lower-case letters, digits and hyphens"))
        }
        let ttl: UInt64? =
            switch object["ttl"] {
            case nil, .null?: usualTTL
            case .integer(let seconds)? where seconds >= 0: min(UInt64(seconds), longestTTL)
            case .number(let seconds)? where seconds >= 0: UInt64(min(seconds, Double(longestTTL)))
            default: nil
            }
        guard let ttl else { return .failure(Failure(reason: "the ttl of its answer is not a number of seconds")) }
        // Else each request would ask.
        return .success((namespace, max(ttl, 1)))
    }
}
