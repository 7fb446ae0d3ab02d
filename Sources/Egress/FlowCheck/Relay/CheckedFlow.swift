import NetworkPolicy

/// One checked connection. Used by the checker's thread only.
final class CheckedFlow {
    enum Phase {
        /// The client has not stated a name yet.
        case opening(FlowOpening)
        /// The server has not accepted yet.
        case dialling
        case relaying
        /// Refused and answered. What the client still sends is discarded, so that it can read the answer.
        case leaving
    }

    /// One of its two sockets, and the events it is registered for.
    struct Side {
        var descriptor: CInt
        /// Its number in epoll events; nil if it is not registered.
        var token: UInt64?
        var interest: UInt32 = 0
    }

    let number: UInt64
    let sandbox: UInt64
    let target: FlowTarget
    var phase = Phase.opening(FlowOpening())
    var client: Side
    var server: Side?
    var name: DomainName?
    var kind: FlowProtocol?
    /// From the client to the server.
    var up = RelayDirection(.held)
    /// From the server to the client.
    var down = RelayDirection(.spliced)
    /// What the client sent after its opening, held until it may pass.
    var held: [UInt8] = []

    init(number: UInt64, sandbox: UInt64, target: FlowTarget, client: CInt) {
        self.number = number
        self.sandbox = sandbox
        self.target = target
        self.client = Side(descriptor: client)
    }

    /// Sets up both directions as the opening requires.
    func prepare(_ said: FlowOpening.Said, rest: ArraySlice<UInt8>, opening: [UInt8]) throws(FlowRefusal) {
        name = said.name
        switch said {
        case .hello(let hello):
            // A server may ask for a second hello, which must be checked before it is forwarded.
            up.outgoing = Array(opening[..<hello.length])
            held = Array(rest)
            down.way = .greeting([], .tls)
        case .request(let head):
            up.outgoing = head.forwarded
            switch head.body {
            case .counted where head.asksForWebSocket:
                held = Array(rest)
                down.way = .greeting([], .http)
            case .counted(let length):
                let part = rest.prefix(Int(min(length, UInt64(rest.count))))
                up.outgoing += part
                up.way = .counted(length - UInt64(part.count))
            case .chunked:
                var body = ChunkedBody()
                up.outgoing += rest.prefix(try body.consume(rest))
                up.way = body.isAtEnd ? .discarded : .chunked(body)
            }
        }
    }

    /// Decides from the server's first bytes how the client's direction goes on.
    func hear(_ greeting: RelayDirection.Greeting) throws(FlowRefusal) {
        defer { held = [] }
        switch greeting {
        case .goesOn:
            up.outgoing += held
            up.way = .spliced
        case .stays: up.way = .discarded
        case .asksForHello:
            var second = SecondHello()
            if let said = try second.append(held) {
                guard said == name else { throw .malformed("the second ClientHello names another server") }
                up.outgoing += second.bytes
                up.way = .spliced
            } else {
                up.way = .secondHello(second, name!)
            }
        }
    }

    /// Whether both directions have ended. For HTTP the end of the answer is enough, since the connection is for one
    /// request.
    var isComplete: Bool { down.isEnded && (up.isEnded || (kind == .http && up.isOver)) }
}
