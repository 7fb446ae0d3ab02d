import JSON
import SafeText

/// What a list of images shows of each.
package struct ImageListing: Sendable {
    package let images: [JSONValue]

    package init(_ images: [JSONValue]) { self.images = images }

    package var names: [String] { images.map { SandboxListing.text($0["uri"]) } }

    package var table: TextTable {
        var table = TextTable("IMAGE", "DIGEST", "FOR", "IN USE")
        for image in images {
            let digest = SandboxListing.text(image["digest"])
            table.add([
                SandboxListing.text(image["uri"]), Self.short(digest),
                Self.audience(SandboxListing.text(image["access"])),
                image["inUse"].map { $0 == .boolean(true) ? "yes" : "no" } ?? "",
            ])
        }
        return table
    }

    /// As much of a digest as people compare.
    private static func short(_ digest: String) -> String {
        guard let colon = digest.firstIndex(of: ":") else { return digest }
        return String(digest[digest.index(after: colon)...].prefix(12))
    }

    private static func audience(_ access: String) -> String {
        switch access {
        case "open": "everybody"
        case "private": "those its registry admits"
        case "local": "everybody (made here)"
        default: access
        }
    }
}

/// What a list of snapshots shows of each.
package struct SnapshotListing: Sendable {
    package let snapshots: [JSONValue]

    package init(_ snapshots: [JSONValue]) { self.snapshots = snapshots }

    package var ids: [String] { snapshots.map { SandboxListing.text($0["id"]) } }

    /// The columns of the same list of a server's files.
    package var table: TextTable {
        var table = TextTable("ID", "STATE", "CREATED", "SANDBOX", "NAME")
        for snapshot in snapshots {
            let state = snapshot["status"]?["state"]
            table.add(
                [snapshot["id"], state, snapshot["createdAt"], snapshot["sandboxId"], snapshot["name"]]
                    .map { SandboxListing.text($0) },
                tones: SandboxListing.tones(of: SandboxListing.text(state), at: 1))
        }
        return table
    }

    /// One of them, a line for each thing known of it.
    package static func details(_ snapshot: JSONValue) -> String {
        let status = snapshot["status"]
        let lines: [(String, JSONValue?)] = [
            ("id", snapshot["id"]), ("name", snapshot["name"]), ("state", status?["state"]),
            ("reason", status?["reason"]),
            ("message", status?["message"]), ("sandbox", snapshot["sandboxId"]), ("created", snapshot["createdAt"]),
        ]
        return SandboxListing.lines(lines.map { ($0.0, SandboxListing.text($0.1)) })
    }
}
