/** The rules of expressions and shapes; `parse.ts` has those of statements. */
import { EmbeddedActionsParser, type IToken, type TokenType } from 'chevrotain';
import { type Source, type Span, joinSpans } from '../base/source.ts';
import type { ArgAst, BinaryOp, ExprAst, Name, ShapeAst } from './ast.ts';
import { holeMark } from './template.ts';
import * as T from './tokens.ts';

/** Rule bodies run once while the grammar is recorded: they have no side effects. */
export abstract class ExpressionParser extends EmbeddedActionsParser {
  /** What spans refer to. */
  protected source: Source = { file: '', text: '', line: 1, column: 1 };
  /** Numbers of holes by their offsets in the text. */
  private holes: ReadonlyMap<number, number> = new Map();

  constructor() {
    super(T.tokens, { recoveryEnabled: false, maxLookahead: 3 });
  }

  /** Says whose tokens come next. */
  read(source: Source): void {
    if (source === this.source) return;
    this.source = source;
    const marks = source.text.matchAll(new RegExp(holeMark, 'g'));
    this.holes = new Map([...marks].map((m, n) => [m.index, n]));
  }

  protected span(first: IToken, last: IToken = first): Span {
    const end = (last.endOffset ?? last.startOffset) + 1;
    return { source: this.source, start: first.startOffset, end };
  }

  /** From a token to the end of an expression, which is no tree yet while the grammar is recorded. */
  private reach(first: IToken, last: ExprAst): Span {
    return this.RECORDING_PHASE ? this.span(first) : joinSpans(this.span(first), last.span);
  }

  protected nameOf(token: IToken): Name {
    return { text: token.image, span: this.span(token) };
  }

  readonly shape = this.RULE('shape', (): ShapeAst => {
    let dtype: Name | undefined;
    this.OPTION(() => {
      dtype = this.nameOf(this.CONSUME(T.Identifier));
    });
    const open = this.CONSUME(T.LeftBracket);
    let rest = false;
    const dims: ExprAst[] = [];
    this.OPTION2(() => {
      this.OR([
        {
          ALT: () => {
            this.CONSUME(T.DotDot);
            rest = true;
          },
        },
        { ALT: () => dims.push(this.SUBRULE(this.expr)) },
      ]);
      this.MANY(() => {
        this.CONSUME(T.Comma);
        dims.push(this.SUBRULE2(this.expr));
      });
    });
    const close = this.CONSUME(T.RightBracket);
    return { dtype, rest, dims, span: this.span(open, close) };
  });

  protected readonly args = this.RULE('args', (): ArgAst[] => {
    const out: ArgAst[] = [];
    this.CONSUME(T.LeftParen);
    this.MANY_SEP({
      SEP: T.Comma,
      DEF: () => {
        out.push(this.SUBRULE(this.arg));
      },
    });
    this.CONSUME(T.RightParen);
    return out;
  });

  protected readonly arg = this.RULE('arg', (): ArgAst => {
    let name: Name | undefined;
    this.OPTION({
      GATE: () => this.LA(2).tokenType === T.Assign,
      DEF: () => {
        const token = this.OR([
          { ALT: () => this.CONSUME(T.Identifier) },
          { ALT: () => this.CONSUME(T.From) },
        ]);
        this.CONSUME(T.Assign);
        name = this.nameOf(token);
      },
    });
    return { name, value: this.SUBRULE(this.expr) };
  });

  protected readonly expr: (idx?: number) => ExprAst = this.RULE('expr', (): ExprAst =>
    this.OR([
      { ALT: () => this.SUBRULE(this.ifExpr) },
      { ALT: () => this.SUBRULE(this.lambda) },
      { ALT: () => this.SUBRULE(this.disjunction) },
    ]),
  );

  protected readonly ifExpr = this.RULE('ifExpr', (): ExprAst => {
    const word = this.CONSUME(T.If);
    const when = this.SUBRULE(this.expr);
    this.CONSUME(T.Then);
    const a = this.SUBRULE2(this.expr);
    this.CONSUME(T.Else);
    const b = this.SUBRULE3(this.expr);
    return { kind: 'if', when, a, b, span: this.reach(word, b) };
  });

  protected readonly lambda = this.RULE('lambda', (): ExprAst => {
    const open = this.CONSUME(T.Bar);
    const params: Name[] = [];
    this.AT_LEAST_ONE_SEP({
      SEP: T.Comma,
      DEF: () => {
        params.push(this.nameOf(this.CONSUME(T.Identifier)));
      },
    });
    this.CONSUME2(T.Bar);
    const body = this.SUBRULE(this.expr);
    return { kind: 'lambda', params, body, span: this.reach(open, body) };
  });

  protected readonly disjunction = this.RULE('disjunction', () =>
    this.chain([T.Or], this.conjunction),
  );
  protected readonly conjunction = this.RULE('conjunction', () =>
    this.chain([T.And], this.negation),
  );

  protected readonly negation = this.RULE('negation', (): ExprAst => {
    let word: IToken | undefined;
    this.OPTION(() => {
      word = this.CONSUME(T.Not);
    });
    const of = this.SUBRULE(this.comparison);
    return word ? { kind: 'unary', op: 'not', of, span: this.reach(word, of) } : of;
  });

  protected readonly comparison = this.RULE('comparison', () =>
    this.chain([T.Less, T.LessEqual, T.Greater, T.GreaterEqual, T.Equal, T.NotEqual], this.sum),
  );
  protected readonly sum = this.RULE('sum', () => this.chain([T.Plus, T.Minus], this.product));
  protected readonly product = this.RULE('product', () =>
    this.chain([T.Star, T.Slash, T.Percent], this.matrix),
  );
  protected readonly matrix = this.RULE('matrix', () => this.chain([T.At], this.negative));

  protected readonly negative = this.RULE('negative', (): ExprAst => {
    let sign: IToken | undefined;
    this.OPTION(() => {
      sign = this.CONSUME(T.Minus);
    });
    const of = this.SUBRULE(this.power);
    return sign ? { kind: 'unary', op: '-', of, span: this.reach(sign, of) } : of;
  });

  protected readonly power = this.RULE('power', (): ExprAst => {
    const a = this.SUBRULE(this.postfix);
    let b: ExprAst | undefined;
    this.OPTION(() => {
      this.CONSUME(T.Caret);
      b = this.SUBRULE(this.negative);
    });
    return b ? this.binary('^', a, b) : a;
  });

  /** a op b op c, from the left; called by rules, so alternatives are recorded as theirs. */
  private chain(ops: readonly TokenType[], next: (idx?: number) => ExprAst): ExprAst {
    let left = this.SUBRULE(next);
    this.MANY(() => {
      const op = this.OR(ops.map((type) => ({ ALT: () => this.CONSUME(type) })));
      const right = this.SUBRULE2(next);
      left = this.binary(op.image as BinaryOp, left, right); // images of the tokens just listed
    });
    return left;
  }

  private binary(op: BinaryOp, a: ExprAst, b: ExprAst): ExprAst {
    const span = this.RECORDING_PHASE
      ? { source: this.source, start: 0, end: 0 }
      : joinSpans(a.span, b.span);
    return { kind: 'binary', op, a, b, span };
  }

  protected readonly postfix = this.RULE('postfix', (): ExprAst => {
    let e = this.SUBRULE(this.primary);
    const extend = (last: IToken): Span =>
      this.RECORDING_PHASE ? this.span(last) : joinSpans(e.span, this.span(last));
    this.MANY(() => {
      e = this.OR([
        {
          ALT: (): ExprAst => {
            const args = this.SUBRULE(this.args);
            return { kind: 'call', callee: e, args, span: extend(this.LA(0)) };
          },
        },
        {
          ALT: (): ExprAst => {
            this.CONSUME(T.LeftBracket);
            const at: ExprAst[] = [];
            this.AT_LEAST_ONE_SEP({
              SEP: T.Comma,
              DEF: () => {
                at.push(this.SUBRULE(this.expr));
              },
            });
            const close = this.CONSUME(T.RightBracket);
            return { kind: 'index', of: e, at, span: extend(close) };
          },
        },
        {
          ALT: (): ExprAst => {
            this.CONSUME(T.Dot);
            const name = this.CONSUME(T.Identifier);
            return { kind: 'member', of: e, name: name.image, span: extend(name) };
          },
        },
        {
          ALT: (): ExprAst => {
            this.CONSUME(T.As);
            const shape = this.SUBRULE(this.shape);
            const span = this.RECORDING_PHASE ? shape.span : joinSpans(e.span, shape.span);
            return { kind: 'as', of: e, shape, span };
          },
        },
      ]);
    });
    return e;
  });

  protected readonly primary = this.RULE('primary', (): ExprAst =>
    this.OR([
      {
        ALT: (): ExprAst => {
          const t = this.CONSUME(T.NumberLiteral);
          const value = Number(t.image);
          const whole = /^\d+$/.test(t.image) && Number.isSafeInteger(value);
          return { kind: 'number', value, whole, span: this.span(t) };
        },
      },
      {
        ALT: (): ExprAst => {
          const t = this.CONSUME(T.TextLiteral);
          return { kind: 'text', value: t.image.slice(1, -1), span: this.span(t) };
        },
      },
      {
        ALT: (): ExprAst => ({ kind: 'bool', value: true, span: this.span(this.CONSUME(T.True)) }),
      },
      {
        ALT: (): ExprAst => ({
          kind: 'bool',
          value: false,
          span: this.span(this.CONSUME(T.False)),
        }),
      },
      { ALT: () => this.nameExpr(this.CONSUME(T.Identifier)) },
      { ALT: () => this.hole(this.CONSUME(T.Hole)) },
      {
        ALT: (): ExprAst => {
          const open = this.CONSUME(T.LeftBracket);
          const items: ExprAst[] = [];
          this.MANY_SEP({
            SEP: T.Comma,
            DEF: () => {
              items.push(this.SUBRULE(this.expr));
            },
          });
          const close = this.CONSUME(T.RightBracket);
          return { kind: 'list', items, span: this.span(open, close) };
        },
      },
      {
        ALT: (): ExprAst => {
          this.CONSUME(T.LeftParen);
          const e = this.SUBRULE2(this.expr);
          this.CONSUME(T.RightParen);
          return e;
        },
      },
    ]),
  );

  protected nameExpr(token: IToken): ExprAst {
    return { kind: 'name', name: token.image, span: this.span(token) };
  }

  /** The hole's number is how many stand before it in the text. */
  protected hole(token: IToken): ExprAst {
    const index = this.holes.get(token.startOffset) ?? 0;
    return { kind: 'hole', index, span: this.span(token) };
  }
}
