// Bars over time, stacked by series, as SVG. Numbers are used for heights only; what is shown as text are the API's own strings.
import {h, s} from './dom.js';
import {table} from './table.js';
import {t} from './strings.js';

const HEIGHT = 200,
    LEFT = 64,
    BOTTOM = 24,
    TOP = 8,
    RIGHT = 8;
const COLOURS = 6; // series above these share the last colour, "other"
const STEPS = [1, 2, 2.5, 5, 10];

/** The scale's end and step: about four lines, at round values. */
function scale(max) {
    const raw = (max || 1) / 4;
    const magnitude = 10 ** Math.floor(Math.log10(raw));
    const step = STEPS.find((x) => x * magnitude >= raw * 0.999) * magnitude;

    return {step, top: Math.ceil((max || 1) / step - 1e-9) * step};
}

function axis_label(value, unit) {
    const text =
        value >= 1 || value === 0 ? String(Number(value.toPrecision(6))) : Number(value.toPrecision(3)).toFixed(10).replace(/0+$/, '');

    return `${unit}${text}`;
}

/** The dearest series first, the rest as one. */
function ranked(points) {
    const sums = new Map();

    for (const p of points) sums.set(p.series, (sums.get(p.series) ?? 0) + Number(p.value));
    return [...sums.entries()].sort((a, b) => b[1] - a[1]).map(([name]) => name);
}

function colour(series, name) {
    const i = series.indexOf(name);

    return series.length > COLOURS && i >= COLOURS - 1 ? 'other' : `s${i}`;
}

function axis(width, inner, {step, top}, unit) {
    const marks = [];

    for (let v = 0; v <= top * 1.0001; v += step) {
        const y = TOP + inner * (1 - v / top);

        marks.push(
            s('line', {x1: LEFT, x2: width - RIGHT, y1: y, y2: y, class: v ? 'grid' : 'base'}),
            s('text', {x: LEFT - 6, y: y + 4, 'text-anchor': 'end'}, axis_label(v, unit)),
        );
    }
    return marks;
}

function bars(spec, series, width) {
    const {slots, points, show} = spec;
    const inner = HEIGHT - TOP - BOTTOM,
        pitch = (width - LEFT - RIGHT) / slots.length;
    const by_slot = new Map(slots.map((slot) => [slot.key, []]));

    points.forEach((p) => by_slot.get(p.slot)?.push(p));
    const sums = [...by_slot.values()].map((list) => list.reduce((sum, p) => sum + Number(p.value), 0));
    const range = scale(Math.max(...sums));
    const every = Math.ceil(slots.length / Math.max(1, Math.floor((width - LEFT) / 84)));
    const out = axis(width, inner, range, spec.unit);

    slots.forEach((slot, i) => {
        const x = LEFT + pitch * i;
        let y = TOP + inner;

        by_slot
            .get(slot.key)
            .sort((a, b) => series.indexOf(a.series) - series.indexOf(b.series))
            .forEach((p) => {
                const height = (inner * Number(p.value)) / range.top;

                y -= height;
                out.push(
                    s(
                        'rect',
                        {x: x + pitch * 0.15, y, width: pitch * 0.7, height, class: colour(series, p.series)},
                        s('title', {}, [slot.label, p.series, show(p.value)].filter(Boolean).join(' · ')),
                    ),
                );
            });
        if (i % every === 0) out.push(s('text', {x: x + pitch / 2, y: HEIGHT - 6, 'text-anchor': 'middle'}, slot.short));
    });
    return out;
}

function legend(series) {
    if (series.length < 2) return null;
    const named = series.length > COLOURS ? series.slice(0, COLOURS - 1) : series;
    const items = named.map((name) => [colour(series, name), name]);

    if (series.length > COLOURS) items.push(['other', t('chart.other', {n: series.length - named.length})]);
    return h(
        'ul',
        {class: 'legend'},
        items.map(([cls, name]) => h('li', {}, h('span', {class: `key ${cls}`, 'aria-hidden': 'true'}), name)),
    );
}

/**
 * spec: {title, unit, slots: [{key, label, short}], points: [{slot, series, value}], show(value) -> text}. The same figures stand
 * in a table beside it.
 */
export function bar_chart(spec) {
    const series = ranked(spec.points);
    const svg = s('svg', {role: 'img', 'aria-label': spec.title, class: 'chart', height: HEIGHT});
    const figure = h('figure', {}, h('figcaption', {}, spec.title), svg, legend(series));
    const draw = (width) => {
        svg.setAttribute('viewBox', `0 0 ${width} ${HEIGHT}`);
        svg.replaceChildren(s('title', {}, spec.title), ...bars(spec, series, width));
    };
    const labels = new Map(spec.slots.map((slot) => [slot.key, slot.label]));

    draw(640);
    new ResizeObserver(([entry]) => draw(Math.max(240, Math.round(entry.contentRect.width)))).observe(svg);
    figure.append(
        h(
            'details',
            {class: 'data'},
            h('summary', {}, t('chart.table')),
            table({
                caption: spec.title,
                rows: spec.points,
                none: t('usage.none'),
                columns: [
                    {label: t('usage.time'), cell: (p) => labels.get(p.slot) ?? p.slot},
                    series.length > 1 ? {label: t('chart.series'), cell: (p) => p.series} : null,
                    {label: spec.value_label, num: true, cell: (p) => spec.show(p.value)},
                ].filter(Boolean),
            }),
        ),
    );
    return figure;
}

/** The hours or days from..to (Unix seconds) as slots, the empty ones too. */
export function slots(from, to, hourly) {
    const step = hourly ? 3600 : 86400;
    const out = [];

    for (let at = Math.floor(from / step) * step; at < to; at += step) {
        const key = new Date(at * 1000).toISOString().replace('.000', '');

        out.push({
            key,
            label: hourly ? key.slice(0, 16).replace('T', ' ') : key.slice(0, 10),
            short: hourly ? key.slice(11, 16) : key.slice(5, 10),
        });
    }
    return out;
}
