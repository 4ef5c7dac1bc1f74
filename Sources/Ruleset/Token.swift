// The lexical elements of the language.

struct Token {
    enum Kind: UInt8 {
        /// A word that begins with a letter, `_` or `.`.
        case word
        case number
        /// An IPv4, IPv6 or MAC address, a time, a class id: text that a type will read.
        case literal
        case quoted
        /// A word or quoted text with an asterisk in it.
        case asterisk
        case punctuation
        case newline
        case end
        case junk
    }
    var kind: Kind
    var start: Int
    var end: Int
    /// Of punctuation: what it is.
    var mark: Mark = .none

    enum Mark: UInt8 {
        case none, comma, dot, colon, semicolon, openBrace, closeBrace, openBracket, closeBracket, openParenthesis, closeParenthesis
        case shiftLeft, shiftRight, ampersand, caret, tilde, bar, slash, dash, asterisk, at, dollar, assign, equal, notEqual, not
        case less, greater, lessOrEqual, greaterOrEqual
    }
}
