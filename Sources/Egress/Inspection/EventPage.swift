import JSON

/// `GET …/events?after=…&limit=…`: recent events at once, for who does not follow the stream.
package struct EventQuery: Hashable, Sendable {
    /// As many as a sandbox's ring holds.
    package static let most = 256
    private static let usual = 100

    /// The `next` of an earlier page, or the id of an event; nil begins with the oldest that is left.
    let after: EventRing.Position?
    let limit: Int

    /// - Throws: `EgressError.invalidPolicy` for an unknown or repeated parameter, and for a value that is none.
    package init(query: [(name: String, value: String)]) throws(EgressError) {
        var values: [String: String] = [:]
        for (name, value) in query {
            guard ["after", "limit"].contains(name), values.updateValue(value, forKey: name) == nil else {
                throw .invalidPolicy("unknown or repeated parameter \"\(name)\": use after and limit")
            }
        }
        after = try values["after"].map { text throws(EgressError) in
            guard let position = EventRing.Position(text) else {
                throw .invalidPolicy("after must be the id of an event, such as 1767225600123-7")
            }
            return position
        }
        limit =
            try values["limit"].map { text throws(EgressError) in
                guard let number = Int(text), (1...Self.most).contains(number) else {
                    throw .invalidPolicy("limit must be a number from 1 to \(Self.most)")
                }
                return number
            } ?? Self.usual
    }

    /// For the guard of another process.
    package var text: String { "?limit=\(limit)" + (after.map { "&after=\($0)" } ?? "") }
}

extension EventLog {
    /// `{"events":[{"id":…,"time":…},…],"lost":0,"next":"…"}`. `lost` is how many events the reader has missed, null where
    /// nobody knows; `next` is the `after` of the next page.
    func page(_ query: EventQuery, isEnforced: Bool) -> [UInt8] {
        let batch = events(after: query.after, limit: query.limit)
        let events = batch.events.map { position, event in
            "{\"id\":\"\(position)\"," + event.encodedJSON(sandbox: sandbox).dropFirst()
        }
        let fields = [
            "\"events\":[" + events.joined(separator: ",") + "]",
            "\"lost\":" + (batch.lost.map(String.init) ?? "null"), "\"next\":\"\(batch.end)\"",
            "\"enforced\":\(isEnforced)",
        ]
        return Array(("{" + fields.joined(separator: ",") + "}").utf8)
    }
}
