import Foundation
import HTTPServer
import NIOHTTP1
import TestSupport
import Testing

@testable import Execd

/// Every route of execd stands in the contract or in specs/execd.yaml, and the other way round.
@Suite struct SpecificationTests {
    /// The routes of OpenSandbox's execd API (specs/execd-api.yaml there).
    private static let contract = """
        GET /ping
        POST /code/context
        GET /code/contexts
        DELETE /code/contexts
        GET /code/contexts/{}
        DELETE /code/contexts/{}
        POST /code
        DELETE /code
        POST /session
        DELETE /session/{}
        POST /session/{}/run
        POST /command
        DELETE /command
        GET /command/status/{}
        GET /command/{}/logs
        GET /files/info
        DELETE /files
        POST /files/permissions
        POST /files/mv
        GET /files/search
        POST /files/replace
        POST /files/upload
        GET /files/download
        GET /directories/list
        POST /directories
        DELETE /directories
        GET /metrics
        GET /metrics/watch
        """
    /// What clients of the contract call though that document does not have it: /v1/isolated has a document of its own.
    private static let elsewhere = "/v1/isolated/"
    private static let mirrored = "/v1/filesystem/{}/{}"

    @Test func `every route has a document, and every document a route`() async throws {
        try await LiveExecd.run { execd async throws in
            let written = try Specification.written("execd")
            let served = Specification.served(execd.service.api.http.patterns, by: written)
            try check(served.filter { !$0.contains(Self.elsewhere) }, written.filter { !$0.contains(Self.elsewhere) })
            let isolated = written.filter { $0.contains(Self.elsewhere) }
            #expect(!isolated.isEmpty && isolated.isSubset(of: served), "what that document leaves open")
        }
    }

    private func check(_ served: Set<String>, _ written: Set<String>) throws {
        let contract = Set(Self.contract.split(separator: "\n").map(String.init))
        let own = served.filter { !$0.contains(Self.mirrored) }
        #expect(own.subtracting(contract).subtracting(written).sorted() == [], "routes without a document")
        #expect(contract.union(written).subtracting(own).sorted() == [], "documents without a route")
        #expect(
            written.count > 10 && written.intersection(contract) == ["POST /command"], "which has more members here")
        let files = own.filter { $0.contains(" /files") || $0.contains(" /directories") }
        let mirror = served.filter { $0.contains(Self.mirrored) }.map { $0.replacing(Self.mirrored, with: "") }
        #expect(Set(mirror) == files, "files with the rights of others")
    }
}
