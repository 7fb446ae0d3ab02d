import JSON
import Runtimes

/// The body of `POST /images`: an image as a create names one.
struct PullRequest: Sendable {
    let image: String
    let credentials: RegistryCredentials?

    /// - Throws: 422 with all that is wrong.
    init(_ body: JSONValue) throws(APIError) {
        let problems = Problems()
        let fields = Fields(body, at: ["body"], known: ["image"], problems: problems)
        if !fields.mentions("image") { fields.missing("image") }
        let image = ImageField.read(fields)
        try problems.check()
        guard let image else { throw .invalid(["body", "image"], "Field required", type: "missing") }
        (self.image, credentials) = (image.uri, image.credentials)
    }
}

/// `image` of a request: a name, and perhaps who may have it of its registry.
enum ImageField {
    /// Bytes of a name. A reference has no more than half of that; a create that waits for its turn is listed with its image.
    private static let longest = 1024

    /// - Returns: nil where it is missing or wrong; what is wrong is a problem.
    static func read(_ fields: Fields) -> (uri: String, credentials: RegistryCredentials?)? {
        guard let image = fields.object("image", known: ["uri", "auth"]) else { return nil }
        guard let uri = image.string("uri") else {
            if !image.mentions("uri") { image.missing("uri") }
            return nil
        }
        let trimmed = uri.drop(while: \.isWhitespace)
        if trimmed.isEmpty { image.problem("uri", "image.uri cannot be blank") }
        if uri.utf8.count > longest {
            image.problem("uri", "image.uri has more than \(longest) bytes", type: "string_too_long")
        }
        guard let auth = image.object("auth", known: ["username", "password"]) else { return (uri, nil) }
        guard let username = auth.string("username"), let password = auth.string("password") else {
            image.problem("auth", "username and password are both needed")
            return nil
        }
        return (uri, RegistryCredentials(username: username, password: password))
    }
}
