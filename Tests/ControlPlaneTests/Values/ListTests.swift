import NIOHTTP1
import Testing

@testable import ControlPlane

private func sandbox(_ number: Int, _ state: SandboxState = .running, _ metadata: [String: String] = [:]) -> Sandbox {
    var sandbox = Sandbox.sample("sandbox-\(number)", at: Timestamp(microseconds: Int64(number)))
    sandbox.status.state = state
    sandbox.metadata = metadata
    return sandbox
}

@Suite struct ListTests {
    @Test func `the newest come first, in pages`() throws {
        let all = (1...45).map { sandbox($0) }.shuffled()
        let first = SandboxPage(all, try ListQuery([]))
        #expect(first.items.map(\.id) == (26...45).reversed().map { "sandbox-\($0)" })
        #expect(first.pagination.totalItems == 45 && first.pagination.totalPages == 3 && first.pagination.hasNextPage)
        let last = SandboxPage(all, try ListQuery([("page", "3"), ("pageSize", "20")]))
        #expect(last.items.count == 5 && !last.pagination.hasNextPage)
        let beyond = SandboxPage(all, try ListQuery([("page", "\(Int.max)"), ("pageSize", "200")]))
        #expect(beyond.items.isEmpty && beyond.pagination.totalItems == 45)
        let none = SandboxPage([], try ListQuery([]))
        #expect(none.items.isEmpty && none.pagination.totalPages == 0 && !none.pagination.hasNextPage)
    }

    @Test func `states are any of those named, in any case; metadata is all of it`() throws {
        let all = [
            sandbox(1), sandbox(2, .paused, ["a": "1"]), sandbox(3, .failed, ["a": "1", "b": "x y"]),
            sandbox(4, .running, ["a": "2"]),
        ]
        func ids(_ query: [(name: String, value: String)]) throws -> [String] {
            SandboxPage(all, try ListQuery(query)).items.map(\.id)
        }
        #expect(try ids([("state", "PAUSED"), ("state", "failed")]) == ["sandbox-3", "sandbox-2"])
        #expect(try ids([("metadata", "a=1")]) == ["sandbox-3", "sandbox-2"])
        #expect(try ids([("metadata", "a=1&b=x%20y")]) == ["sandbox-3"])
        #expect(try ids([("metadata", "")]).count == 4)
        #expect(try ids([("state", "nope")]).isEmpty)
    }

    @Test(arguments: [
        ("page", "0"), ("page", "x"), ("pageSize", "0"), ("pageSize", "201"), ("page", "99999999999999999999"),
    ])
    func `page numbers out of range are 422`(_ name: String, _ value: String) throws {
        let error = try #require(throws: APIError.self) { _ = try ListQuery([(name, value)]) }
        #expect(error.status == .unprocessableEntity && error.detail?.first?.loc == ["query", name])
    }

    @Test(arguments: ["a", "a&b=1", "=1", "a=1&&b=2"]) func `metadata that is no list of pairs is 400`(_ text: String)
        throws
    {
        let error = try #require(throws: APIError.self) { _ = try ListQuery([("metadata", text)]) }
        #expect(error.status == .badRequest && error.code == "INVALID_METADATA_FORMAT")
    }
}
