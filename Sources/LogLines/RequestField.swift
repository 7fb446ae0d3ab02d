import Logging
import Tracing

extension Logger.MetadataProvider {
    /// `request`, on every line that is written while a request is worked for.
    static let request = Logger.MetadataProvider { CurrentRequest.id.map { ["request": "\($0)"] } ?? [:] }
}
