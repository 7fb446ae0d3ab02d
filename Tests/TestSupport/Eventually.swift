/// Asks again until it holds, for what happens in another process and can only be looked at. After half a minute, and at
/// least 1000 questions, it does not: a busy machine must not be taken for a fault.
public func eventually(_ condition: () async throws -> Bool) async throws -> Bool {
    let end = ContinuousClock.now + .seconds(30)
    var asked = 0
    while asked < 1000 || ContinuousClock.now < end {
        asked += 1
        if try await condition() { return true }
        try await Task.sleep(for: .milliseconds(10))
    }
    return false
}
