import HTTPWire
import NIOHTTP1

/// Where a permitted request goes.
struct ProxyTarget: Sendable {
    var backend: Backend
    /// Path and query for the sandbox.
    var target: String
    /// What stood in front of them, for redirects; nil where redirects pass as they are.
    var mount: String?
    /// Who asks; nil: whoever has connected.
    var client: String?
    /// How the client came, `http` or `https`; nil: as this listener is reached.
    var scheme: String?
    /// A cookie for the client, but for whether it is `Secure`.
    var setCookie: String?
}

enum Admission: Sendable {
    case proxy(ProxyTarget)
    case refuse(ProxyError)
    /// Answered here with 200 and this text.
    case answer(String)
}

/// What makes the gateway and the server proxy differ. Everything about connections is `ClientConnection`'s. One for each
/// event loop.
protocol ProxyPolicy {
    var limits: ProxyLimits { get }
    var rules: HeaderRules { get }
    /// A WebSocket that cannot be opened is opened and closed with a code, so that a client sees the reason.
    var closesRefusedWebSockets: Bool { get }
    /// What spans of its requests call the way that they take.
    var tracedRoute: String { get }
    /// The kind of a route, where there is only one.
    var routeKind: RouteKind { get }
    /// Whether every answer has the id that its request goes on with; else only those that are an error of ours.
    var namesAnswers: Bool { get }
    /// The largest request body at the moment; nil for no limit.
    var maxBody: Int? { get }
    /// Called on the event loop for every request; may put the target into its canonical form.
    /// - Parameters:
    ///   - client: its address; nil on a unix socket.
    ///   - record: gets the route.
    func admit(_ head: inout HTTPRequestHead, from client: String?, _ record: inout RequestRecord) -> Admission
    /// Completes the head of an answer, relayed or own.
    func finish(_ response: inout OutgoingResponse, to request: HTTPRequestHead, target: ProxyTarget?)
}
