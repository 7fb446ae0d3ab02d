@testable import ControlPlane

/// What a gateway without rights, which may have been taken over, sends over its link, and what it reads there.
enum LinkFuzz {
    static func link(_ bytes: UnsafeRawBufferPointer) {
        let message = Array(bytes)
        if let request = LinkRequest(message) {
            promise(request.bytes == message, "a request says something else than it was read from")
            switch request {
            case .dial(_, _, let text), .accessed(let text), .applied(let text, _):
                promise((1...LinkRequest.maxText).contains(text.utf8.count), "a text of any length")
            }
        }
        if let reply = LinkReply(message) { promise(reply.bytes == message, "an answer that changes") }
        _ = FileMessage(message)
    }
}
