/// Reads a guard's state without changing anything.
protocol EgressInspector: Sendable {
    /// The verdict of the policy in force on some traffic, from the same evaluator that the filter and the kernel's
    /// rules use.
    func explain(_ id: String, _ question: PolicyQuestion) async throws(EgressError) -> PolicyExplanation

    /// The smallest policy for the names that the sandbox was seen to use.
    func suggestion(_ id: String) async throws(EgressError) -> PolicySuggestion

    func events(_ id: String) async throws(EgressError) -> EventLog
}
