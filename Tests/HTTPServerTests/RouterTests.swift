import NIOHTTP1
import Testing

@testable import HTTPServer

/// What a router says of a request, as text: the route with its parameters, or why there is none.
private func routes(_ reading: PathReading, _ all: [(HTTPMethod?, String)]) -> (HTTPMethod, String) -> String {
    var router = Router<String>(reading)
    for (method, pattern) in all { router.add(method, pattern, "\(method?.rawValue ?? "any") \(pattern)") }
    return { [router] method, path in
        switch router.match(method, path) {
        case .found(let route, let parameters):
            route + ["id", "port"].compactMap { name in parameters[name].map { " \(name)=\($0)" } }.joined()
        case .wrongMethod(let allowed, _): "405 " + allowed.joined(separator: ",")
        case .unknown: "404"
        }
    }
}

@Suite struct RouterTests {
    private let ask = routes(
        .decoded,
        [
            (.GET, "/"), (.GET, "/boxes"), (.POST, "/boxes"), (.GET, "/boxes/{id}"), (.GET, "/boxes/newest"),
            (.DELETE, "/boxes/{id}/ports/{port}"), (.GET, "/boxes/newest/log"), (nil, "/old/*"), (.GET, "/old/one"),
        ])

    @Test(arguments: [
        ("/", "GET /"), ("/boxes", "GET /boxes"), ("/boxes/", "GET /boxes"), ("//boxes", "GET /boxes"),
        ("/boxes/a", "GET /boxes/{id} id=a"), ("/boxes/newest", "GET /boxes/newest"),
        ("/boxes/newest/log", "GET /boxes/newest/log"), ("/boxes/a/log", "404"), ("/box", "404"),
        ("/boxes/a%2Fb", "GET /boxes/{id} id=a/b"), ("/boxes/a%zz", "GET /boxes/{id} id=a%zz"),
        ("/box%65s", "GET /boxes"), ("/boxes/..", "GET /boxes/{id} id=.."),
        ("/old", "any /old/*"), ("/old/one", "GET /old/one"), ("/old/two/three", "any /old/*"),
    ])
    func `a path finds its route, by name before a parameter`(_ path: String, _ route: String) {
        #expect(ask(.GET, path) == route)
    }

    @Test func `a method that a path does not take is told apart from a path that is not there`() {
        #expect(ask(.PUT, "/boxes") == "405 GET,HEAD,POST")
        #expect(ask(.GET, "/boxes/a/ports/1") == "405 DELETE")
        #expect(ask(.DELETE, "/boxes/newest/ports/1") == "DELETE /boxes/{id}/ports/{port} id=newest port=1")
        #expect(ask(.POST, "/boxes/newest") == "405 GET,HEAD")
        #expect(ask(.POST, "/boxes/newest/nothing") == "404")
        // A known method of a path is no reason to refuse what a wider route takes.
        #expect(ask(.POST, "/old/one") == "any /old/*")
    }

    @Test func `HEAD is asked of what answers GET`() {
        #expect(ask(.HEAD, "/boxes/a") == "GET /boxes/{id} id=a")
        #expect(ask(.HEAD, "/boxes/a/ports/1") == "405 DELETE")
    }

    @Test(arguments: [
        ("/boxes/a", "GET /boxes/{id} id=a"), ("/boxes/a%2Fb", "GET /boxes/{id} id=a%2Fb"), ("//boxes/a", "404"),
        ("/boxes/a/", "404"), ("/boxes//a", "404"), ("/box%65s/a", "404"), ("boxes/a", "404"), ("", "404"),
        ("/", "404"), ("http://h/boxes/a", "404"),
    ])
    func `an exact path is read byte for byte`(_ path: String, _ route: String) {
        #expect(routes(.exact, [(.GET, "/boxes/{id}")])(.GET, path) == route)
    }

    @Test func `a path of any length costs no more than its routes`() {
        let deep = String(repeating: "/boxes", count: 20_000)
        #expect(ask(.GET, deep) == "404" && ask(.GET, "/old" + deep) == "any /old/*")
        #expect(PathReading.decoded.segments(of: deep)?.count == PathReading.maxSegments + 1)
        #expect(PathReading.exact.segments(of: deep)?.count == PathReading.maxSegments + 1)
    }
}
