// What a model costs: the classes of tokens, as facts and as fields. Shared by models, prices and receipts.
import {count, money, time} from '../format.js';
import {t} from '../strings.js';
import {facts} from '../table.js';

export const CLASSES = [
    'input',
    'cached_input',
    'cache_write',
    'cache_write_long',
    'output',
    'reasoning',
    'audio_input',
    'audio_output',
    'image_input',
    'image_output',
];
const TIER = ['tier_input', 'tier_cached_input', 'tier_cache_write', 'tier_cache_write_long', 'tier_output'];
const ALWAYS = ['input', 'output'];

export function price_facts(price) {
    const has = (name) => price[name] !== null && price[name] !== undefined && price[name] !== '';
    const tier = price.tier_above_tokens;

    return facts([
        ...CLASSES.filter(has).map((name) => [t(`price.${name}`), money(price[name])]),
        tier ? [t('price.tier_above_tokens'), count(tier)] : null,
        ...(tier ? TIER.filter(has).map((name) => [t(`price.${name}`), money(price[name])]) : []),
        price.id ? [t('price.version'), price.id] : null,
        price.created ? [t('price.since'), time(price.created)] : null,
    ]);
}

/** prefix: "price." where the price is a member of a model. A price is said anew as a whole: what is left empty is gone from it. */
export function price_fields(price = {}, prefix = '', required = true) {
    const one = (name, type = 'money') => ({
        name: prefix + name,
        type,
        half: true,
        label: t(`price.${name}`),
        value: price[name] || '',
        required: required && ALWAYS.includes(name),
        folded: !ALWAYS.includes(name),
    });

    // zero is a price, not "nothing"
    const field = (name) => ({...one(name), value: price[name] ?? ''});

    return [...CLASSES.map(field), one('tier_above_tokens', 'number'), ...TIER.map(field)];
}
