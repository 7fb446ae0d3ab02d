import Foundation
import HTTPServer
import NIOHTTP1
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

    /// A pattern without the names in it; what a pattern takes at its end is a name in a document.
    private static func named(_ pattern: String) -> String { pattern.replacing(#/\{[^}]*\}|\*/#, with: "{}") }

    private static func served(_ execd: LiveExecd) -> Set<String> {
        Set(execd.service.api.http.patterns.map { "\($0.method?.rawValue ?? "ANY") \(named($0.pattern))" })
    }

    /// The operations of specs/execd.yaml, by the places of their lines.
    private static func written() throws -> Set<String> {
        let file = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../specs/execd.yaml")
        var found: Set<String> = [], path = "", isInPaths = false
        for line in try String(contentsOf: file, encoding: .utf8).split(separator: "\n") {
            if !line.hasPrefix(" ") { isInPaths = line == "paths:" }
            guard isInPaths else { continue }
            if let match = line.wholeMatch(of: #/  (\/[^:]*):/#) { path = named(String(match.1)) }
            if let match = line.wholeMatch(of: #/    (get|post|put|patch|delete|options|head|trace):/#) {
                found.insert("\(match.1.uppercased()) \(path)")
            }
        }
        return found
    }

    @Test func `every route has a document, and every document a route`() async throws {
        try await LiveExecd.run { execd async throws in
            let served = Self.served(execd)
            try check(served.filter { !$0.contains(Self.elsewhere) })
            let isolated = try Self.written().filter { $0.contains(Self.elsewhere) }
            #expect(!isolated.isEmpty && isolated.isSubset(of: served), "what that document leaves open")
        }
    }

    private func check(_ served: Set<String>) throws {
        let contract = Set(Self.contract.split(separator: "\n").map(String.init))
        let written = try Self.written().filter { !$0.contains(Self.elsewhere) }
        // A route for any method has those that its document says.
        let own = Set(
            served.filter { !$0.contains(Self.mirrored) }.flatMap { route -> [String] in
                guard route.hasPrefix("ANY ") else { return [route] }
                let told = written.filter { $0.hasSuffix(route.dropFirst(3)) }
                return told.isEmpty ? [route] : Array(told)
            })
        #expect(own.subtracting(contract).subtracting(written).sorted() == [], "routes without a document")
        #expect(contract.union(written).subtracting(own).sorted() == [], "documents without a route")
        #expect(
            written.count > 10 && written.intersection(contract) == ["POST /command"], "which has more members here")
        let files = own.filter { $0.contains(" /files") || $0.contains(" /directories") }
        let mirror = served.filter { $0.contains(Self.mirrored) }.map { $0.replacing(Self.mirrored, with: "") }
        #expect(Set(mirror) == files, "files with the rights of others")
    }
}
