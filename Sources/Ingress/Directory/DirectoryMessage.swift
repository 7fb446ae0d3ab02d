import FoundationEssentials
import JSON

/// One line of the directory stream, in JSON: a full state or a change.
package enum DirectoryMessage: Hashable, Sendable {
    /// The full state. It may come at any time and replaces the previous one.
    case snapshot(DirectoryPosition, [DirectoryEntry])
    /// The stream continues after the position that the gateway gave.
    case resumed(DirectoryPosition)
    case set(sequence: UInt64, DirectoryEntry)
    case remove(sequence: UInt64, id: String)
    /// A heartbeat: nothing has changed since `sequence`.
    case beat(sequence: UInt64)

    private struct Wire: Codable {
        var kind: String
        var stream: String?
        var sequence: UInt64
        var entries: [DirectoryEntry]?
        var entry: DirectoryEntry?
        var id: String?
    }

    /// - Throws: `DirectoryError.malformed`.
    package init(line: some Sequence<UInt8>) throws(DirectoryError) {
        guard let wire: Wire = try? JSONValue(Array(line)).decode() else { throw .malformed }
        switch (wire.kind, wire.stream, wire.entries, wire.entry, wire.id) {
        case ("snapshot", let stream?, let entries?, _, _):
            self = .snapshot(DirectoryPosition(stream: stream, sequence: wire.sequence), entries)
        case ("resumed", let stream?, _, _, _):
            self = .resumed(DirectoryPosition(stream: stream, sequence: wire.sequence))
        case ("set", _, _, let entry?, _): self = .set(sequence: wire.sequence, entry)
        case ("remove", _, _, _, let id?): self = .remove(sequence: wire.sequence, id: id)
        case ("beat", _, _, _, _): self = .beat(sequence: wire.sequence)
        default: throw .malformed
        }
    }

    /// The line, with a line feed.
    package var line: [UInt8] {
        let wire =
            switch self {
            case .snapshot(let position, let entries):
                Wire(kind: "snapshot", stream: position.stream, sequence: position.sequence, entries: entries)
            case .resumed(let position):
                Wire(kind: "resumed", stream: position.stream, sequence: position.sequence)
            case .set(let sequence, let entry): Wire(kind: "set", sequence: sequence, entry: entry)
            case .remove(let sequence, let id): Wire(kind: "remove", sequence: sequence, id: id)
            case .beat(let sequence): Wire(kind: "beat", sequence: sequence)
            }
        // Strings and numbers can always be encoded.
        guard let data = try? JSONEncoder().encode(wire) else { preconditionFailure("a message is not JSON") }
        return Array(data) + [UInt8(ascii: "\n")]
    }
}

/// A position in a directory stream. A restarted directory begins a new stream.
package struct DirectoryPosition: Hashable, Sendable, LosslessStringConvertible {
    package var stream: String
    package var sequence: UInt64

    package init(stream: String, sequence: UInt64) {
        self.stream = stream
        self.sequence = sequence
    }

    /// Reads `<stream>.<sequence>`.
    package init?(_ text: String) {
        guard let dot = text.lastIndex(of: "."), let sequence = UInt64(text[text.index(after: dot)...]) else {
            return nil
        }
        self.init(stream: String(text[..<dot]), sequence: sequence)
    }

    package var description: String { "\(stream).\(sequence)" }
}

package enum DirectoryError: Error, Hashable, Sendable, CustomStringConvertible {
    case malformed
    /// A change was missed.
    case gap
    case refused(status: Int)
    case silent
    case ended
    case lineTooLong
    case invalidAddress(String)

    package var description: String {
        switch self {
        case .malformed: "the directory sent an invalid message"
        case .gap: "a change was missed"
        case .refused(let status): "the directory answered \(status)" + (status == 401 ? ": the secret is wrong" : "")
        case .silent: "the directory sent nothing for too long"
        case .ended: "the directory ended the stream"
        case .lineTooLong: "the directory sent a line that is too long"
        case .invalidAddress(let text): "\"\(text)\" is not a directory address; write unix:/path or host:port"
        }
    }
}
