import NIOHTTP1
import System

/// Finds a request's route: by the segments of its path, then by its method. A value without I/O.
///
/// A pattern is made of segments: `/sandboxes/{id}/logs`. `{id}` takes any one segment, and a segment that a pattern
/// names goes before it. `*` as the last segment takes whatever is below, and nothing.
package struct Router<Endpoint: Sendable>: Sendable {
    package enum Match: Sendable {
        case found(Endpoint, PathParameters)
        /// The path is known, but not for this method; `allowed` is sorted.
        case wrongMethod(allowed: [String], PathParameters)
        case unknown
    }

    private let reading: PathReading
    private var root = Node()
    /// All routes as they were added; the method is nil for any.
    package private(set) var patterns: [(method: HTTPMethod?, pattern: String)] = []

    package init(_ reading: PathReading) { self.reading = reading }

    /// - Parameter method: nil: any. What answers GET answers HEAD, too.
    package mutating func add(_ method: HTTPMethod?, _ pattern: String, _ endpoint: Endpoint) {
        patterns.append((method, pattern))
        let segments = pattern.split(separator: "/").map(String.init)
        let names = segments.filter { $0.hasPrefix("{") }.map { String($0.dropFirst().dropLast()) }
        root.add(Route(names: names, endpoint: endpoint), method?.rawValue ?? Self.any, segments[...])
    }

    /// - Parameter path: a request's target before its `?`.
    package func match(_ method: HTTPMethod, _ path: String) -> Match {
        guard let segments = reading.segments(of: path) else { return .unknown }
        var search = Search(method: method.rawValue)
        if let found = root.find(segments[...], [], &search) { return .found(found.endpoint, found.parameters) }
        guard let parameters = search.parameters else { return .unknown }
        if search.allowed.contains("GET") { search.allowed.insert("HEAD") }
        return .wrongMethod(allowed: search.allowed.sorted(), parameters)
    }

    private static var any: String { "*" }

    private struct Route: Sendable {
        var names: [String]
        var endpoint: Endpoint
    }

    private struct Search {
        let method: String
        /// Methods of the path that have been come by.
        var allowed: Set<String> = []
        var parameters: PathParameters?
    }

    private struct Node: Sendable {
        var named: [String: Node] = [:]
        /// One at most.
        var parameter: [Node] = []
        /// By their methods.
        var routes: [String: Route] = [:]
        var below: [String: Route] = [:]

        mutating func add(_ route: Route, _ method: String, _ segments: ArraySlice<String>) {
            guard let segment = segments.first else { return routes[method] = route }
            if segment == "*" {
                below[method] = route
            } else if segment.hasPrefix("{") {
                if parameter.isEmpty { parameter = [Node()] }
                parameter[0].add(route, method, segments.dropFirst())
            } else {
                named[segment, default: Node()].add(route, method, segments.dropFirst())
            }
        }

        func find(
            _ segments: ArraySlice<String>, _ values: [String], _ search: inout Search
        ) -> (endpoint: Endpoint, parameters: PathParameters)? {
            if let segment = segments.first {
                let rest = segments.dropFirst()
                if let found = named[segment]?.find(rest, values, &search) { return found }
                if let found = parameter.first?.find(rest, values + [segment], &search) { return found }
            } else if let found = choose(routes, values, &search) {
                return found
            }
            return choose(below, values, &search)
        }

        private func choose(
            _ routes: [String: Route], _ values: [String], _ search: inout Search
        ) -> (endpoint: Endpoint, parameters: PathParameters)? {
            guard let first = routes.first?.value else { return nil }
            let route = routes[search.method] ?? (search.method == "HEAD" ? routes["GET"] : nil) ?? routes[Router.any]
            if let route { return (route.endpoint, PathParameters(names: route.names, values: values)) }
            search.allowed.formUnion(routes.keys)
            search.parameters = search.parameters ?? PathParameters(names: first.names, values: values)
            return nil
        }
    }
}

/// How a path becomes segments.
package enum PathReading: Sendable {
    /// Empty segments do not count. Each segment is percent-decoded once the path is split, so that an encoded slash stays
    /// inside its segment; one with a malformed escape stays as it is.
    case decoded
    /// Byte for byte. What a gateway relays below a prefix can then name nothing but what is below that prefix.
    case exact

    /// No route is deeper: what is beyond stays in the last segment.
    static let maxSegments = 32

    /// - Returns: nil for what is no path that a route could have.
    func segments(of path: String) -> [String]? {
        switch self {
        case .decoded:
            return path.split(separator: "/", maxSplits: Self.maxSegments).map {
                PercentEncoding.decode($0) ?? String($0)
            }
        case .exact:
            guard path.first == "/" else { return nil }
            let segments = path.dropFirst().split(
                separator: "/", maxSplits: Self.maxSegments, omittingEmptySubsequences: false)
            return segments.contains("") ? nil : segments.map { String($0) }
        }
    }
}

/// What stands in a path in the places of a pattern's `{names}`.
package struct PathParameters: Hashable, Sendable {
    private let names: [String]
    private let values: [String]

    package static let none = PathParameters(names: [], values: [])

    init(names: [String], values: [String]) { (self.names, self.values) = (names, values) }

    /// Nil where the route has no such name.
    package subscript(_ name: String) -> String? { names.firstIndex(of: name).map { values[$0] } }
}
