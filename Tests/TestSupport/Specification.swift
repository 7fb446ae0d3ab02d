import Foundation
import NIOHTTP1

/// The operations of a document under specs/ and the routes of an API, as texts that can be compared: `GET /sandboxes/{}`.
package enum Specification {
    private static let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../specs")
    private static let anyMethod = "ANY "

    /// Those of specs/<document>.yaml, by the places of their lines.
    package static func written(_ document: String) throws -> Set<String> {
        let file = folder.appending(path: document + ".yaml")
        var found: Set<String> = [], path = "", isInPaths = false
        for line in try String(contentsOf: file, encoding: .utf8).split(separator: "\n") {
            if !line.hasPrefix(" ") { isInPaths = line == "paths:" }
            guard isInPaths else { continue }
            if let match = line.wholeMatch(of: #/  (\/[^:]*):/#) { path = named(String(match.1)) }
            if let match = line.wholeMatch(of: #/    (get|post|put|patch|delete|options|head|trace):.*/#) {
                found.insert("\(match.1.uppercased()) \(path)")
            }
        }
        return found
    }

    /// Those that an API serves. A route for any method has those that `written` says of its path.
    package static func served(
        _ patterns: [(method: HTTPMethod?, pattern: String)], by written: Set<String>
    ) -> Set<String> {
        Set(
            patterns.flatMap { route -> [String] in
                let path = named(route.pattern)
                if let method = route.method { return ["\(method.rawValue) \(path)"] }
                let told = written.filter { $0.hasSuffix(" " + path) }
                return told.isEmpty ? [anyMethod + path] : Array(told)
            })
    }

    /// A pattern without the names in it; what a pattern takes at its end is a name in a document.
    private static func named(_ pattern: String) -> String { pattern.replacing(#/\{[^}]*\}|\*/#, with: "{}") }
}
