// Elements are made here and nowhere else. Children become text nodes, never markup: what a user has typed cannot run.

const SVG = 'http://www.w3.org/2000/svg';

function put(el, props, children) {
    for (const [name, value] of Object.entries(props || {})) {
        if (value === undefined || value === null || value === false) continue;
        if (name.startsWith('on')) el.addEventListener(name.slice(2), value);
        else if (name === 'value' || name === 'checked') el[name] = value;
        else el.setAttribute(name, value === true ? '' : String(value));
    }
    el.append(
        ...children
            .flat(Infinity)
            .filter((c) => c !== undefined && c !== null && c !== false)
            .map((c) => (c instanceof Node ? c : document.createTextNode(String(c)))),
    );
    return el;
}

/** h('a', {href: '#/', onclick: fn}, 'text', otherElement, [more]): absent and false props and children are left out. */
export function h(tag, props, ...children) {
    return put(document.createElement(tag), props, children);
}

/** The same for SVG. */
export function s(tag, props, ...children) {
    return put(document.createElementNS(SVG, tag), props, children);
}

let ids = 0;

/** An id that no other element has. */
export function unique(prefix) {
    ids += 1;
    return `${prefix}-${ids}`;
}

const SAID_MS = 8000;
let silence = null;

/** A line at the edge of the page that is read aloud, too, and goes away by itself. */
export function announce(text) {
    const live = document.getElementById('live');

    live.textContent = text;
    clearTimeout(silence);
    silence = setTimeout(() => live.replaceChildren(), SAID_MS);
}
