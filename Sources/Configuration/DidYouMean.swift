// Suggestions for misspelt words.

/// ` (did you mean "x"?)` if one of the candidates is near enough to the word, else nothing.
func didYouMean(_ word: String, _ candidates: [String]) -> String {
    let normal = normalised(word)
    let nearest = candidates.map { ($0, editDistance(normal, normalised($0))) }.min { $0.1 < $1.1 }
    guard let (candidate, distance) = nearest, distance <= max(1, normal.count / 3) else { return "" }
    return " (did you mean \"\(candidate)\"?)"
}

/// `main_core`, `mainCore` and `main-core` are one word.
private func normalised(_ word: String) -> [Character] { word.lowercased().filter { $0 != "-" && $0 != "_" } .map { $0 } }

/// Levenshtein distance.
private func editDistance(_ a: [Character], _ b: [Character]) -> Int {
    var row = Array(0...b.count)
    for (i, x) in a.enumerated() {
        var diagonal = row[0]
        row[0] = i + 1
        for (j, y) in b.enumerated() {
            let above = row[j + 1]
            row[j + 1] = x == y ? diagonal : 1 + min(diagonal, above, row[j])
            diagonal = above
        }
    }
    return row[b.count]
}
