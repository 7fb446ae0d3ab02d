import HTTPServer
import NIOHTTP1

/// Templates, which no runtime here has, with the code by which clients know that. A request is checked
/// first, as the reference does: a wrong one is wrong everywhere.
extension LifecycleAPI {
    func addUnsupported(to http: inout HTTPAPI, _ prefix: String) {
        let all = prefix + "/templates"
        let refusal = APIError.notSupported(
            "templates are not supported by this server", code: "FSB::API_NOT_SUPPORTED")
        add(to: &http, .GET, all, .read) { [self] in
            try check($0.request, parameters: ["metadata", "page", "pageSize"])
            _ = try ListQuery($0.request.query)
            throw refusal
        }
        add(to: &http, .POST, all, .operate) { [self] in
            try TemplateRequest.check(try await json($0.request))
            throw refusal
        }
        add(to: &http, .GET, all + "/{id}", .read) { _ in throw refusal }
        add(to: &http, .DELETE, all + "/{id}", .operate) { _ in throw refusal }
    }
}
