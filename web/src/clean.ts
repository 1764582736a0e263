// HTML that was made of Markdown, with nothing in it but words and how they are set.

const ALLOWED = new Set(['P', 'BR', 'CODE', 'PRE', 'EM', 'STRONG', 'UL', 'OL', 'LI', 'H1', 'H2', 'H3', 'H4', 'TABLE', 'THEAD', 'TBODY', 'TR', 'TH', 'TD', 'SPAN', 'HR', 'BLOCKQUOTE']);

export function clean(html: string): string {
  const body = new DOMParser().parseFromString(html, 'text/html').body;
  for (const element of [...body.querySelectorAll('*')]) {
    if (!ALLOWED.has(element.tagName)) element.replaceWith(document.createTextNode(element.textContent ?? ''));
    else for (const { name } of [...element.attributes]) if (name !== 'class') element.removeAttribute(name);
  }
  return body.innerHTML;
}
