import JSON
import SafeText
import Testing

@testable import Client

@Suite struct ListingTests {
    private func values(_ text: String) throws -> [JSONValue] {
        guard case .array(let items) = try JSONValue(Array(text.utf8)) else { return [] }
        return items
    }

    @Test func `images are listed with whom they are for, and digests as long as people compare`() throws {
        let listing = ImageListing(
            try values(
                """
                [{"uri":"r.example/a:1","digest":"sha256:0123456789abcdef","access":"private","inUse":true},
                 {"uri":"docker.io/sallyport/base:latest","access":"local","inUse":false}, {"uri":7}]
                """))
        let lines = listing.table.text.split(separator: "\n").map { $0.split(separator: " ").joined(separator: " ") }
        #expect(
            lines == [
                "IMAGE DIGEST FOR IN USE", "r.example/a:1 0123456789ab those its registry admits yes",
                "docker.io/sallyport/base:latest - everybody (made here) no", "- - - -",
            ])
        #expect(listing.names == ["r.example/a:1", "docker.io/sallyport/base:latest", ""])
    }

    @Test func `a snapshot's list and its details say the same`() throws {
        let snapshots = try values(
            """
            [{"id":"s1","sandboxId":"b1","name":"by hand","createdAt":"2026-01-01T00:00:00Z",
              "status":{"state":"Failed","message":"no room\\u001b[2J"}}]
            """)
        let listing = SnapshotListing(snapshots)
        #expect(listing.ids == ["s1"])
        #expect(listing.table.text.contains("s1  Failed  2026-01-01T00:00:00Z  b1       by hand"))
        let details = SnapshotListing.details(snapshots[0])
        #expect(details.contains("message  no room") && !details.contains("\u{1b}") && !details.contains("reason"))
    }
}
