import System

/// The request that the present task works for. Log lines have its id (`LogLines`), and calls to other processes take it along, so that
/// one id finds what a client, the server, the guard and execd have said of one request.
package enum CurrentRequest {
    /// A printable word without spaces, since it goes into a header.
    @TaskLocal package static var id: String?

    package static let header = "x-request-id"

    /// What goes along with a call that is made for it: its id, and the present span.
    package static var fields: [(name: String, value: String)] {
        (id.map { [(header, $0)] } ?? []) + (ActiveSpan.current?.context.fields ?? [])
    }
}

extension WorkerPool {
    /// As `run`, on a thread that works for the same request: what it logs has the request's id.
    package func runForRequest<Result: Sendable, Failure: Error>(
        _ body: @escaping @Sendable () throws(Failure) -> Result
    ) async throws(Failure) -> Result {
        guard let id = CurrentRequest.id else { return try await run(body) }
        return try await run { () throws(Failure) -> Result in
            let outcome = CurrentRequest.$id.withValue(id) { () -> Swift.Result<Result, Failure> in
                do throws(Failure) { return .success(try body()) } catch { return .failure(error) }
            }
            return try outcome.get()
        }
    }
}
