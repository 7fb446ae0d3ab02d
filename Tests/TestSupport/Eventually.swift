/// Asks again until it holds, for at most ten seconds: for what happens in another process and can only be looked at.
public func eventually(_ condition: () async throws -> Bool) async throws -> Bool {
    for _ in 0..<1000 {
        if try await condition() { return true }
        try await Task.sleep(for: .milliseconds(10))
    }
    return false
}
