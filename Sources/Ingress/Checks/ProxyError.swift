import HTTPWire
import NIOHTTP1

/// An answer given instead of the sandbox's, with a stable code and a message that says what to do and reveals no
/// internals.
package struct ProxyError: Error, Hashable, Sendable {
    package var status: HTTPResponseStatus
    package var code: String
    package var message: String
    /// Whether to close the connection after this answer, because what follows may not be a request.
    package var closes = false
    /// Seconds, for `Retry-After`.
    package var retryAfter: Int?

    package init(_ status: HTTPResponseStatus, _ code: String, _ message: String, closes: Bool = false) {
        self.status = status
        self.code = code
        self.message = message
        self.closes = closes
    }

    static func malformed(_ message: String) -> ProxyError { ProxyError(HTTPMessageError.malformed(message)) }

    init(_ error: HTTPMessageError) { self.init(error.status, error.code, "\(error)", closes: true) }

    static func unknownHost(_ host: String) -> ProxyError {
        ProxyError(
            .misdirectedRequest, "UNKNOWN_HOST",
            "\"\(host.prefix(100))\" is not one of this server's names; if it should be, add it to server.names")
    }

    static let invalidRoute = ProxyError(
        .badRequest, "INVALID_ROUTE", "the request does not say which port of which sandbox it is for")
    static let unknownSandbox = ProxyError(.notFound, "SANDBOX_NOT_FOUND", "no such sandbox or port")
    /// One answer for missing, wrong, expired and forged credentials, and for sandboxes that do not exist, so that it
    /// reveals nothing.
    static let unauthorized = ProxyError(
        .unauthorized, "MISSING_OR_INVALID_SECURE_ACCESS", "the secure access credential is missing or not valid")
    static func tooManyFailures(retryAfter seconds: Int) -> ProxyError {
        var error = ProxyError(
            .tooManyRequests, "TOO_MANY_FAILED_ATTEMPTS",
            "too many invalid credentials from this address; try again in \(seconds) s")
        error.retryAfter = seconds
        return error
    }

    static func rateLimited(retryAfter seconds: Int) -> ProxyError {
        var error = ProxyError(
            .tooManyRequests, "RATE_LIMITED", "too many requests; try again in \(seconds) s")
        error.retryAfter = seconds
        return error
    }

    static func bodyTooLarge(_ most: Int) -> ProxyError {
        ProxyError(.payloadTooLarge, "BODY_TOO_LARGE", "the body is larger than \(most) bytes", closes: true)
    }
    /// Too many one-time routes are remembered to accept another one now.
    static let oneTimeUnavailable = ProxyError(
        .serviceUnavailable, "ONE_TIME_UNAVAILABLE", "one-time routes cannot be used at the moment")

    static let connectionFailed = ProxyError(
        .badGateway, "BACKEND_CONNECTION_FAILED", "nothing in the sandbox accepts connections on this port")
    /// The same for a gateway that cannot reach a sandbox's loopback.
    static let refusedAtAddress = ProxyError(
        .badGateway, "BACKEND_CONNECTION_FAILED",
        "nothing accepts connections on this port at the sandbox's address: a server in it has to listen on 0.0.0.0 or [::] to "
            + "be reached from here, not on 127.0.0.1 or [::1] alone")
    static let responseFailed = ProxyError(
        .badGateway, "BACKEND_RESPONSE_FAILED", "the sandbox ended the connection without a valid answer")
    static let noHTTP2 = ProxyError(
        .badGateway, "BACKEND_NOT_HTTP2",
        "the sandbox's server does not speak HTTP/2 without TLS (h2c, by prior knowledge), which gRPC needs")
    static let upgradeRefused = ProxyError(
        .forbidden, "BACKEND_UPGRADE_REFUSED", "the sandbox did not agree to change the protocol")
    static let timeout = ProxyError(.gatewayTimeout, "BACKEND_TIMEOUT", "the sandbox did not answer in time")
    static let slowRequest = ProxyError(
        .requestTimeout, "REQUEST_TIMEOUT", "the request did not arrive in time", closes: true)

    static let noDirectory = ProxyError(
        .serviceUnavailable, "DIRECTORY_UNAVAILABLE", "this gateway has not reached its directory yet")

    static let silentDirectory = ProxyError(
        .serviceUnavailable, "DIRECTORY_SILENT",
        "this gateway has not heard from its directory for more than 10 seconds")

    static func notReady(_ reason: String) -> ProxyError {
        ProxyError(.serviceUnavailable, "SANDBOX_NOT_READY", reason)
    }
}
