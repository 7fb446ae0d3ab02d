/// Looks into a guard without changing anything.
protocol EgressInspector: Sendable {
    /// What the policy in force says of some traffic, by the evaluator that the filter and the kernel's rules come from.
    func explain(_ id: String, _ question: PolicyQuestion) async throws(EgressError) -> PolicyExplanation

    /// The smallest policy for the names that the sandbox was seen to use.
    func suggestion(_ id: String) async throws(EgressError) -> PolicySuggestion

    func events(_ id: String) async throws(EgressError) -> EventLog
}
