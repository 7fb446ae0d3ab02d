import HTTPServer
import NIOCore
import NIOHTTP1
import Synchronization
import System

/// The API's documents for people who come with a browser: `/openapi.json`, `/docs` (Swagger UI) and `/redoc`, from files that
/// are installed beside the program (scripts/api-pages.sh).
///
/// They show and do not ask: no page takes a key, since pages of sandboxes are of the same origin where the server proxy
/// serves them. They need no key, as at the reference: they are the same for every server of a release, and say nothing of this one. A page
/// runs no script but those files and asks no other host, which its policy makes the browser hold.
struct APIPages: Sendable {
    /// nil if they are not installed.
    let folder: String?
    private let files = PageFiles()

    init(folder: String?) { self.folder = folder }

    private struct Page: Sendable {
        let path: String
        let type: String
        /// The name in the folder.
        let file: String
    }

    private static let pages = [
        Page(path: "/openapi.json", type: "application/json", file: "openapi.json"),
        Page(path: "/docs/swagger-ui.css", type: "text/css; charset=utf-8", file: "swagger-ui.css"),
        Page(path: "/docs/swagger-ui-bundle.js", type: "text/javascript; charset=utf-8", file: "swagger-ui-bundle.js"),
        Page(path: "/redoc/redoc.standalone.js", type: "text/javascript; charset=utf-8", file: "redoc.standalone.js"),
    ]

    /// Bytes of the largest file, which is Swagger UI's, and room for later ones.
    private static let limit = 8 << 20

    func add(to http: inout HTTPAPI) {
        for page in Self.pages {
            http.on(.GET, page.path, access: .open) { _ in try file(page) }
        }
        addPage(to: &http, "/docs", Self.swagger)
        http.on(.GET, "/docs/start.js", access: .open) { _ in Self.reply(Self.start, "text/javascript; charset=utf-8") }
        addPage(to: &http, "/redoc", Self.redoc)
    }

    private func addPage(to http: inout HTTPAPI, _ path: String, _ text: String) {
        http.on(.GET, path, access: .open) { _ in
            guard folder != nil else { throw Self.missing }
            return Self.reply(text, "text/html; charset=utf-8")
        }
    }

    private static let missing = APIError(
        .notFound, "NOT_FOUND", "the pages of the API are not installed: scripts/api-pages.sh makes their folder")

    private func file(_ page: Page) throws(APIError) -> Reply {
        guard let folder else { throw Self.missing }
        do throws(SystemCallError) {
            let bytes = try files.bytes(of: folder + "/" + page.file, limit: Self.limit)
            return Reply(.ok, headers: Self.headers(page.type), body: .shared(bytes))
        } catch { throw Self.missing }
    }

    private static func reply(_ text: String, _ type: String) -> Reply { reply(Array(text.utf8), type) }

    private static func reply(_ bytes: [UInt8], _ type: String) -> Reply {
        Reply(.ok, headers: headers(type), body: .bytes(bytes))
    }

    private static func headers(_ type: String) -> HTTPHeaders {
        [
            "content-type": type, "content-security-policy": policy, "x-content-type-options": "nosniff",
            "cross-origin-opener-policy": "same-origin", "referrer-policy": "no-referrer", "x-frame-options": "DENY",
            "cache-control": "no-cache",
        ]
    }

    /// Both programs put styles into the page while they run; no script stands in a page.
    private static let policy = [
        "default-src 'none'", "script-src 'self'", "style-src 'self' 'unsafe-inline'", "img-src 'self' data:",
        "font-src 'self' data:", "connect-src 'self'", "base-uri 'none'", "form-action 'none'",
        "frame-ancestors 'none'",
    ].joined(separator: "; ")

    private static let swagger = """
        <!DOCTYPE html>
        <html lang="en"><head><meta charset="utf-8"><title>Sallyport: the lifecycle API</title>
        <link rel="stylesheet" href="/docs/swagger-ui.css">
        <style>.auth-wrapper, .authorization__btn {display: none}</style></head>
        <body><div id="api"></div><script src="/docs/swagger-ui-bundle.js"></script><script src="/docs/start.js"></script></body></html>

        """

    private static let start =
        "SwaggerUIBundle({url: '/openapi.json', dom_id: '#api', validatorUrl: null, supportedSubmitMethods: []});\n"

    private static let redoc = """
        <!DOCTYPE html>
        <html lang="en"><head><meta charset="utf-8"><title>Sallyport: the lifecycle API</title></head>
        <body><redoc spec-url="/openapi.json" disable-search="true" hide-loading="true"></redoc>
        <script src="/redoc/redoc.standalone.js"></script></body></html>

        """
}

/// Files that are read once and then shared by all answers, so that many who ask for them cost no memory.
private final class PageFiles: Sendable {
    private let known = Mutex<[String: ByteBuffer]>([:])

    func bytes(of path: String, limit: Int) throws(SystemCallError) -> ByteBuffer {
        try known.withLock { known throws(SystemCallError) in
            if let bytes = known[path] { return bytes }
            let bytes = ByteBuffer(bytes: try File.read(path, limit: limit, followsLinks: false))
            known[path] = bytes
            return bytes
        }
    }
}
