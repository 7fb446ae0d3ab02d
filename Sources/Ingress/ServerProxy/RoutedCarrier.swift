import HTTPServer
import HTTPWire
import NIOCore

/// Carries the requests of the server proxy's routes: the connection serves others between them.
final class RoutedCarrier: RequestCarrier {
    var scheme: String { connection.scheme }
    let isSingleRequest = false
    let asksByMethod = false
    let takesTurns = true
    private let connection: ServerConnection

    init(_ connection: ServerConnection) { self.connection = connection }

    func write(_ head: consuming OutgoingResponse, from _: ChannelHandlerContext) { connection.write(head) }

    func write(_ part: BodyPart, from _: ChannelHandlerContext) { connection.write(part) }

    func turnEnded() { connection.turnEnded() }

    func drop() { connection.drop() }

    func agrees(_ head: ReceivedResponse) -> Bool { true }

    func insert(_ end: TunnelEnd, into _: any Channel) throws { try connection.insert(end) }

    func switchProtocols(on channel: any Channel) -> EventLoopFuture<[ByteBuffer]> {
        channel.eventLoop.makeSucceededFuture(connection.switchProtocols())
    }
}
