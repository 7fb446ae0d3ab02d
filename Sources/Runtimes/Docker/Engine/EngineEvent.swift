import JSON
import Spelling

/// A line of `GET /events`: something that happened to a container.
struct EngineEvent: Hashable, Sendable {
    enum Action: Hashable, Sendable {
        case died, destroyed, paused, resumed
        case other

        /// In the engine's words.
        static let names: [String: Action] = [
            "die": .died, "destroy": .destroyed, "pause": .paused, "unpause": .resumed,
        ]
    }

    let action: Action
    /// The labels of the container, and what the engine adds to them.
    let attributes: [ExactName: String]

    /// - Throws: `EngineFailure` for what is no event. One of another kind than a container's is nil.
    static func read(_ line: [UInt8]) throws(EngineFailure) -> EngineEvent? {
        struct Line: Decodable {
            struct Actor: Decodable {
                var attributes: [ExactName: String]?
                enum CodingKeys: String, CodingKey { case attributes = "Attributes" }
            }
            var type, action: String
            var actor: Actor
            enum CodingKeys: String, CodingKey { case type = "Type", action = "Action", actor = "Actor" }
        }
        guard line.contains(where: { $0 > 0x20 }) else { return nil }
        let read: Line = try EngineClient.read(line)
        guard read.type == "container" else { return nil }
        return EngineEvent(action: Action.names[read.action] ?? .other, attributes: read.actor.attributes ?? [:])
    }
}
