import HTTPServer
import NIOHTTP1
import TestSupport
import Testing

@testable import ControlPlane

/// Every route of the lifecycle API stands in specs/lifecycle.yaml or specs/diagnostics.yaml, and the other way round.
@Suite struct LifecycleSpecificationTests {
    /// What names its own server in the document: it is at one place only.
    private static func isSingle(_ route: String) -> Bool {
        let path = route.split(separator: " ")[1]
        return ["/health", "/ready", "/version", "/metrics", "/openapi.json", "/v1/metrics/events"].contains(path)
            || path.hasPrefix("/docs") || path.hasPrefix("/redoc")
    }

    @Test func `every route has a document, and every document a route, with a version and without`() throws {
        let written = try Specification.written("lifecycle").union(Specification.written("diagnostics"))
        let house = try House()
        let versioned = Set(
            written.filter { !Self.isSingle($0) }.map { $0.replacing(" /", with: " /v1/") })
        let served = Specification.served(house.api.http.patterns, by: written.union(versioned))
        #expect(served.subtracting(written.union(versioned)).sorted() == [], "routes without a document")
        #expect(written.union(versioned).subtracting(served).sorted() == [], "documents without a route")
        #expect(written.count > 40 && written.filter(Self.isSingle).count > 5)
    }
}
